/**
 * Worker threads: tasks sent to whichever is free, bounded in number and in time.
 * @module
 */
export { type Handlers, serve } from "./serve.js";
export { ThreadPool, type ThreadPoolOptions, type ThreadPoolStats } from "./thread-pool.js";
