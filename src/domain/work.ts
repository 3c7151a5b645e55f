/** Names a task or gate and its dispatch, as a queue message carries it. */
export interface Work {
  id: string;
  dispatch: number;
}
