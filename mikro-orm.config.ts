import { ormOptions } from './src/database/orm-options.ts';

/** For the MikroORM command line; the daemon uses the same options. */
export default ormOptions({ url: process.env.DATABASE_URL ?? 'postgresql://127.0.0.1:5432/sluice' });
