// Preloaded into node servers of the tests: standard input is a pipe held by the test run, so its
// end means that the run is gone, even when it was killed and could not clean up.
"use strict";
process.stdin.on("end", () => process.exit(0)).resume();
