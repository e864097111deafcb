#include "sbcd/cli/ctl.h"

/* Alone in its file, so that tests can have a main of their own. */
int main(int argc, char **argv)
{
	return ctl_main(argc, argv);
}
