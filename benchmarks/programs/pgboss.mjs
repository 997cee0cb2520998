// pg-boss: producers by insert(), workers by fetch() and complete() (best) or by work() (default).
import { createRequire } from "node:module";
import { call, stamp } from "./handler.mjs";
import { produce } from "./producer.mjs";

const require = createRequire(`${process.env.BENCH_MODULES}/package.json`);
const PgBoss = require("pg-boss");
const QUEUE = "bench";
const boss = new PgBoss({ connectionString: process.env.BENCH_DSN });
boss.on("error", (error) => console.error(error));

async function handle(job) {
  if (job.data.task === "stamp") stamp(job.data.at);
  else call();
}

async function work({ fetchers, batchSize, idleMs }) {
  let stopping = false;
  process.once("SIGTERM", () => (stopping = true));
  const loop = async () => {
    while (!stopping) {
      const jobs = await boss.fetch(QUEUE, { batchSize });
      if (jobs.length === 0) {
        await new Promise((done) => setTimeout(done, idleMs));
        continue;
      }
      for (const job of jobs) await handle(job);
      await boss.complete(QUEUE, jobs.map((job) => job.id));
    }
  };
  await Promise.all(Array.from({ length: fetchers }, loop));
  process.exit(0);
}

async function workByDefault() {
  process.once("SIGTERM", async () => {
    await boss.stop({ graceful: true, wait: true, timeout: 5000 });
    process.exit(0);
  });
  await boss.work(QUEUE, async (jobs) => {
    for (const job of jobs) await handle(job);
  });
}

async function enqueue(args) {
  await produce(
    {
      single: (task, payload) => boss.send(QUEUE, { task, ...payload }),
      many: (task, payloads) => boss.insert(payloads.map((p) => ({ name: QUEUE, data: { task, ...p } }))),
    },
    args,
  );
}

const [mode, ...rest] = process.argv.slice(2);
await boss.start();
if (mode === "install") await boss.createQueue(QUEUE);
else if (mode === "work" && rest[0] === "default") await workByDefault();
else if (mode === "work") await work(JSON.parse(rest[0]));
else await enqueue([mode, ...rest]);
if (mode !== "work") {
  await boss.stop({ graceful: false, wait: false });
  process.exit(0);
}
