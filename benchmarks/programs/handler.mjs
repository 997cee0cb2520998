// What every Node system's handler calls; the same files as handler.py.
import { openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { nowSeconds } from "./producer.mjs";

const folder = process.env.BENCH_FOLDER ?? ".";
let calls = 0;
let stamps = -1;

function write(kind, text) {
  const path = `${folder}/${kind}.${process.pid}`;
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

export function call(count = 1) {
  if (calls === 0) write("started", String(nowSeconds()));
  calls += count;
}

export function stamp(at) {
  if (stamps < 0) stamps = openSync(`${folder}/stamps.${process.pid}`, "a");
  writeSync(stamps, new Uint8Array(new Float64Array([at, nowSeconds()]).buffer));
}

process.on("exit", () => {
  if (calls > 0) write("calls", String(calls));
});
