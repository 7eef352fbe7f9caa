// Runs one of the TypeScript scripts beside this file. Plain JavaScript, so that an old Node can still say what to do.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `This needs the Node 24 that "npm ci" puts into node_modules, but runs on ${process.version}.\n` +
      `Run "npm ci" (with install scripts allowed), then start it through npm, for example "npm start".`,
  );
  process.exit(1);
}
const [name, ...rest] = process.argv.slice(2);
process.argv.splice(2, process.argv.length, ...rest);
await import(`./${name}.ts`);
