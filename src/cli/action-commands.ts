import { type Command, Option } from 'commander';
import { ACTIONS, type Action, type ActionAnswers, type ActionBodies, type Collection } from '../contract/actions.ts';
import { dollars, wholeNumber } from './amounts.ts';
import { type CliContext, clientOf, print } from './context.ts';
import { colouredPatch, plain } from './table.ts';

const REASON = 'recorded in the audit trail';

/** Options of a command, by the kind of body that they form. */
const OPTIONS: Readonly<Record<keyof ActionBodies, readonly Option[]>> = {
  note: [new Option('--reason <text>', REASON)],
  order: [reason()],
  budget: [new Option('--usd <amount>', 'the budget in US dollars').argParser(dollars).makeOptionMandatory(), reason()],
  priority: [
    new Option('--priority <n>', 'a whole number; higher lands first').argParser(signedNumber).makeOptionMandatory(),
    reason(),
  ],
};

/** Text output of an action, by the kind of object that it returns. */
const LINES: { [O in keyof ActionAnswers]: (object: ActionAnswers[O], action: string) => string } = {
  run: (run, action) => (action === 'rollback' ? run.id : spending(run, action)),
  task: (task, action) => spending(task, action),
  patch: (patch, action) => `${patch.id} ${action === 'prioritize' ? patch.priority : colouredPatch(patch.state)}`,
  target: ({ id, paused_at }) => `${plain(id)} ${paused_at === null ? 'lands' : 'paused'}`,
  worker: ({ id, draining, state }) => `${id} ${draining ? 'draining' : state}`,
  breaker: ({ tool_name, state }) => `${plain(tool_name)} ${state}`,
};

/** Adds a command for each action of the collection in `contract/actions.ts`. */
export function actionCommands(parent: Command, context: CliContext, collection: Collection): void {
  for (const [name, action] of Object.entries<Action>(ACTIONS[collection])) {
    const command = parent.command(name).description(action.description).argument('<id>');
    for (const option of OPTIONS[action.body]) command.addOption(option);
    command.action(async (id: string, body: unknown) => {
      const methods = clientOf(context, command)[collection] as unknown as Record<
        string,
        (id: string, body: unknown) => Promise<never>
      >;
      const object = await methods[name]!(id, body);
      print(context, command, object, () => LINES[action.answer](object, name));
    });
  }
}

function spending(object: { id: string; state: string; cost_usd: number; budget_usd: number | null }, action: string) {
  return action === 'budget'
    ? `${object.id} $${object.cost_usd} of $${object.budget_usd}`
    : `${object.id} ${object.state}`;
}

function reason(): Option {
  return new Option('--reason <text>', REASON).makeOptionMandatory();
}

function signedNumber(text: string): number {
  return text.startsWith('-') ? -wholeNumber(text.slice(1)) : wholeNumber(text);
}
