import { expect, test } from 'vitest';
import { NamedRepositories } from '../../../src/domain/repository-book.ts';

const known = { app: { url: 'repos/app.git', committer: { name: 'Bot', email: 'bot@example.com' } } };
const book = (allowAny: boolean) =>
  new NamedRepositories({ known, allowAny, folder: '/srv', sandbox: { mode: 'auto', gate_network: false } });

test('a name resolves to its url, and a relative path starts at the folder of the configuration', () => {
  expect(book(false).resolve('app')).toEqual({ name: 'app', url: '/srv/repos/app.git' });
  expect(book(false).committer('app').name).toBe('Bot');
});

test('a repository that is not configured is refused unless the operator allows any', () => {
  expect(() => book(false).resolve('/tmp/other.git')).toThrow(
    expect.objectContaining({ code: 'repository.not_allowed' }),
  );
  expect(book(true).resolve('https://git.example/x.git').url).toBe('https://git.example/x.git');
  expect(book(true).resolve('git@git.example:team/x.git').url).toBe('git@git.example:team/x.git');
});

test.each(['--upload-pack=touch /tmp/x', 'ext::sh -c id', '-x', 'a\0b', '__proto__::x'])(
  '%j never reaches git',
  (text) => {
    expect(() => book(true).resolve(text)).toThrow(expect.objectContaining({ code: 'repository.not_allowed' }));
  },
);

test('property names of JavaScript objects are not repositories', () => {
  expect(() => book(false).resolve('constructor')).toThrow();
});
