import { ACTIONS, type ActionName, type AnswerOf, type BodyOf, type Collection } from '../contract/actions.ts';
import type { Http } from './http.ts';

/** The body is optional if all its fields are. */
type Arguments<Body> = Partial<Body> extends Body ? [id: string, body?: Body] : [id: string, body: Body];

export type Actions<C extends Collection> = {
  [A in ActionName<C>]: (...call: Arguments<BodyOf<C, A>>) => Promise<AnswerOf<C, A>>;
};
export type WithActions<C extends Collection, Reads> = Reads & Actions<C>;

/** Returns a method for each action of the collection in `contract/actions.ts`. */
export function actionsOf<C extends Collection>(http: Http, collection: C): Actions<C> {
  const method = (action: string) => (id: string, body?: unknown) =>
    http.json(`/v1/${collection}/${encodeURIComponent(id)}/${action}`, { method: 'POST', body: body ?? {} });
  return Object.fromEntries(
    Object.keys(ACTIONS[collection]).map((name) => [name, method(name)]),
  ) as unknown as Actions<C>;
}
