// Producers for the Node systems: the same loops as producer.py.
const WARM_UP_JOBS = 20;
const MOST_AT_ONCE = 1000;
const TICK_MS = 10;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const cpuSeconds = () => {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
};
export const nowSeconds = () => (performance.timeOrigin + performance.now()) / 1000;

function numbered(first, size) {
  return Array.from({ length: size }, (_, n) => ({ n: first + n }));
}

async function fill(producer, { count, batch }) {
  for (let first = 0; first < count; first += batch) {
    await producer.many("noop", numbered(first, Math.min(batch, count - first)));
  }
  return {};
}

async function timed(producer, { kind, count, batch }) {
  const calls = [];
  if (kind === "single") {
    for (let n = 0; n < count; n++) calls.push(() => producer.single("noop", { n }));
  } else {
    for (let first = 0; first < count; first += batch) {
      const payloads = numbered(first, Math.min(batch, count - first));
      calls.push(() => producer.many("noop", payloads));
    }
  }
  const warmUp = calls.slice(0, kind === "single" ? WARM_UP_JOBS : 1);
  for (const call of warmUp) await call();
  const [started, cpu] = [performance.now(), cpuSeconds()];
  for (const call of calls) await call();
  return {
    jobs: count,
    all: count + warmUp.length * (kind === "single" ? 1 : Math.min(batch, count)),
    seconds: (performance.now() - started) / 1000,
    cpu_s: cpuSeconds() - cpu,
  };
}

async function probe(producer, { seconds, interval_ms }) {
  const ends = performance.now() + seconds * 1000;
  let count = 0;
  while (performance.now() < ends) {
    await pause((0.5 + Math.random()) * interval_ms);
    await producer.single("stamp", { at: nowSeconds() });
    count++;
  }
  return { jobs: count };
}

async function stream(producer, { task, rate, seconds }) {
  const [started, cpu] = [performance.now(), cpuSeconds()];
  let sent = 0;
  for (;;) {
    const elapsed = (performance.now() - started) / 1000;
    if (elapsed >= seconds) break;
    const due = Math.min(MOST_AT_ONCE, Math.floor(elapsed * rate) - sent);
    if (due > 0) {
      const payload = task === "stamp" ? { at: nowSeconds() } : { n: sent };
      await producer.many(task, Array.from({ length: due }, () => payload));
      sent += due;
    }
    await pause(due === MOST_AT_ONCE ? 0 : TICK_MS);
  }
  return { jobs: sent, seconds: (performance.now() - started) / 1000, cpu_s: cpuSeconds() - cpu };
}

export async function produce(producer, [mode, ...pairs]) {
  const options = {};
  for (const pair of pairs) {
    const [key, value] = pair.split("=");
    options[key] = Number.isNaN(Number(value)) ? value : Number(value);
  }
  const modes = { fill, enqueue: timed, probe, stream };
  if (!(mode in modes)) throw new Error(`unknown mode ${mode}`);
  console.log(JSON.stringify(await modes[mode](producer, options)));
}
