#!/usr/bin/env node
// CommonJS in old syntax, because it must also run on the Node versions that it rejects.
var fs = require('fs');
var nodeModule = require('module');
var path = require('path');
var url = require('url');

if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write('sluice needs Node.js 24 or newer; this is ' + process.versions.node + '\n');
  process.exit(2);
}

// Node keeps the compiled code beside the sources, which halves the time of the next start. Worker processes inherit it.
process.env.NODE_COMPILE_CACHE =
  process.env.NODE_COMPILE_CACHE || path.join(__dirname, '..', '.sluice', 'compile-cache');
nodeModule.enableCompileCache();

// A clone runs its sources; the published package has only the compiled files.
var source = path.join(__dirname, '..', 'src', 'cli', 'main.ts');
var compiled = path.join(__dirname, '..', 'dist', 'src', 'cli', 'main.js');
import(url.pathToFileURL(fs.existsSync(source) ? source : compiled).href)
  .then((cli) => cli.main(process.argv.slice(2), process.env))
  .then((code) => {
    process.exit(code);
  })
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
