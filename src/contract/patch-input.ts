import { z } from 'zod';
import * as field from './fields.ts';

export const PATCH_FORMATS = ['unified_diff', 'context_diff', 'git_patch', 'inline'] as const;
export type PatchFormat = (typeof PATCH_FORMATS)[number];

/** git strips these characters from the ends of a name, and refuses a name that is empty without them. */
export const personSchema = z.strictObject({
  name: field.name.regex(/[^\s.,:;<>"\\']/, 'holds no name'),
  // Two patterns, because a single one for both rules would backtrack over a long text.
  email: z
    .string()
    .max(320)
    .regex(/^[^\p{Cc}<>]+$/u, 'holds no address')
    .regex(/[^\s.,:;<>"\\']/, 'holds no address'),
});

const common = {
  base: field.commit.optional(),
  author: personSchema.optional(),
};

const diffSchema = z
  .strictObject({
    ...common,
    /** A hint only, because the format is detected from the content. */
    format: z.enum(['unified_diff', 'context_diff', 'git_patch']),
    /** Leading folders to strip from its file names; by default detected as git and patch do. */
    strip: z.number().int().min(0).max(64).optional(),
    content: z.string().optional(),
    content_base64: z.base64().optional(),
  })
  .refine((input) => (input.content === undefined) !== (input.content_base64 === undefined), {
    message: 'give content or content_base64',
    path: ['content'],
  })
  .refine((input) => (input.content ?? input.content_base64 ?? 'x').trim() !== '', {
    message: 'is blank',
    path: ['content'],
  });

const inlineFileSchema = z
  .strictObject({
    path: z.string().min(1).max(4_096),
    content: z.string().optional(),
    content_base64: z.base64().optional(),
    delete: z.literal(true).optional(),
    mode: z.enum(['100644', '100755', '120000']).optional(),
  })
  .refine(
    (file) => [file.content, file.content_base64, file.delete].filter((given) => given !== undefined).length === 1,
    'give one of content, content_base64 and delete',
  );

const inlineSchema = z.strictObject({
  ...common,
  format: z.literal('inline'),
  files: z.array(inlineFileSchema).min(1, 'changes no file').max(10_000),
});

/**
 * `input` of the built-in tool `patch`. Paths are checked later, so that a bad path gives a recorded QUARANTINED patch.
 */
export const patchInputSchema = z.discriminatedUnion('format', [diffSchema, inlineSchema]);

export type PatchInput = z.output<typeof patchInputSchema>;
export type InlineFile = z.output<typeof inlineFileSchema>;

/** Returns the caller's bytes: the diff itself, or for `inline` the JSON of its files. */
export function patchBytes(input: PatchInput): Buffer {
  if (input.format === 'inline') return Buffer.from(JSON.stringify(input.files));
  return input.content === undefined
    ? Buffer.from(input.content_base64 ?? '', 'base64')
    : Buffer.from(input.content, 'utf8');
}

export const submitPatchSchema = z.strictObject({
  repository: z.string().min(1).max(2_000),
  branch: field.branch.default('main'),
  input: patchInputSchema,
  message: z.string().max(field.LIMITS.messageLength).optional(),
  scope: field.globs.optional(),
  priority: field.priority.default(0),
});

export type SubmitPatch = z.output<typeof submitPatchSchema>;
