/* main.c: which program are we: `tug`, `tug serve`, or `docker-model`. The answer is cli_main's. */
#include "cli/cli.h"

int main(int argc, char **argv) { return cli_main(argc, argv); }
