import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadSettings } from '../../src/config.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-config-'));
  await writeFile(join(folder, 'sluice.config.yaml'), 'tools: { claude: { argv: [claude], env: [API_KEY] } }');
});
afterAll(() => rm(folder, { recursive: true }));

async function secret(value: string): Promise<string> {
  const path = join(folder, 'secret');
  await writeFile(path, value);
  return path;
}

test('a secret in a file has the value of the file without its last line feed; a variable that is set wins', async () => {
  const path = await secret('a b\n');
  const files = { API_KEY_FILE: path, OTHER_FILE: path };
  expect((await loadSettings(files, {}, folder)).environment).toMatchObject({ API_KEY: 'a b' });
  expect((await loadSettings(files, {}, folder)).environment.OTHER).toBeUndefined();
  expect((await loadSettings({ ...files, API_KEY: 'x' }, {}, folder)).environment).toMatchObject({ API_KEY: 'x' });
  await expect(loadSettings({ API_KEY_FILE: '/nowhere' }, {}, folder)).rejects.toMatchObject({
    code: 'config.invalid',
  });
});

test.each(['plain', 'p@ss/w:rd?#[]', '100%25 ü'])(
  'a database password may hold any characters: %s',
  async (password) => {
    const environment = {
      DATABASE_URL: 'postgresql://sluice@db:5432/sluice?sslmode=require',
      DATABASE_PASSWORD_FILE: await secret(password),
    };
    const url = new URL((await loadSettings(environment, {}, folder)).databaseUrl!);
    expect(decodeURIComponent(url.password)).toBe(password);
    expect(url.host + url.pathname + url.search).toBe('db:5432/sluice?sslmode=require');
  },
);

test('a monitor listens only where a port is named', async () => {
  expect((await loadSettings({}, {}, folder)).monitor).toBeUndefined();
  expect((await loadSettings({ SLUICE_MONITOR_PORT: '0' }, {}, folder)).monitor).toEqual({
    host: '127.0.0.1',
    port: 0,
  });
  await expect(loadSettings({ SLUICE_MONITOR_PORT: 'x' }, {}, folder)).rejects.toMatchObject({
    code: 'config.invalid',
  });
});
