import { type Flags, output, type PatchFormat } from './patch-format.ts';
import type { Change } from './patch-history.ts';
import type { Oracle } from './patch-oracles.ts';

type Recode = (mail: { head: string; body: string }) => { head: string; body: string };

interface MailSettings {
  flags?: (change: Change) => Flags;
  recode?: Recode;
  tool?: Oracle;
}

/** Formats made by `git format-patch`, for one commit and for a series; `recode` changes the encoding of each mail. */
export function mails(
  name: string,
  { flags = () => [], recode, tool = 'git am --keep-cr' }: MailSettings = {},
): PatchFormat[] {
  const plain: PatchFormat['make'] = (git, change) =>
    output(['git', 'format-patch', '--stdout', ...flags(change), `${change.base}..${change.last}`], git.remote);
  const make: PatchFormat['make'] = async (git, change) => {
    const box = await plain(git, change);
    return recode === undefined ? box : resent(box, recode);
  };
  return [
    { name: `mail${name}`, tool, carries: ({ trees }) => trees.length === 2, make, plain },
    { name: `mails${name}`, tool, carries: ({ trees }) => trees.length > 2, make, plain },
  ];
}

function resent(box: Buffer, recode: Recode): Buffer {
  const mails = box.toString('latin1').split(/^(?=From [0-9a-f]{40} Mon Sep 17 00:00:00 2001$\n(?:From|Subject): )/m);
  const sent = mails.map((mail) => {
    const end = mail.indexOf('\n\n');
    const own = mail.slice(0, end).replace(/\n(MIME-Version|Content-\S+):.*/g, '');
    const { head, body } = recode({ head: own, body: mail.slice(end + 2) });
    return `${head}\n\n${body}\n`;
  });
  return Buffer.from(sent.join(''), 'latin1');
}

export function encodedAs(encoding: string, encode: (body: string) => string): Recode {
  const more = `MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: ${encoding}`;
  return ({ head, body }) => ({ head: `${head}\n${more}`, body: encode(body) });
}

export function base64(body: string): string {
  return Buffer.from(body, 'latin1').toString('base64').replaceAll(/.{76}/g, '$&\n');
}

/** Encodes bytes that are not printable ASCII, and blanks at the end of a line, as `=XX`. Lines end in LF. */
export function quotedPrintable(body: string): string {
  const escaped = (byte: string): string => `=${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  const lines = body.split('\n').map((line) => {
    const written = line.replaceAll(/[^ -~]|=|^From| $/g, (text) => escaped(text[0]!) + text.slice(1));
    return written.match(/(?:=..|[^=]){1,24}/g)?.join('=\n') ?? '';
  });
  return lines.join('\n');
}
