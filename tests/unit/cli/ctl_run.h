/*
 * ctl_run - sbcctl's command line in a test, with its output caught.
 */
#ifndef TESTS_UNIT_CLI_CTL_RUN_H
#define TESTS_UNIT_CLI_CTL_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbcd/cli/ctl.h"

static char dir[] = "/tmp/ctl-test-XXXXXX"; /* the test's to make */
static char *printed;

/* Runs sbcctl with its output caught. */
static int ctl(const char *words)
{
	char line[512], *argv[32] = {(char[]){"sbcctl"}}, *save = NULL;
	int argc = 1, code, out, err;
	char file[64];
	FILE *f;
	long size;

	snprintf(line, sizeof(line), "%s", words);
	for (char *w = strtok_r(line, " ", &save); w;
	     w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	snprintf(file, sizeof(file), "%s/out", dir);
	f = fopen(file, "w+");
	fflush(stdout);
	fflush(stderr);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(fileno(f), STDOUT_FILENO);
	dup2(fileno(f), STDERR_FILENO);
	code = ctl_main(argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	free(printed);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	printed = calloc(1, (size_t)size + 1);
	assert_int_equal(fread(printed, 1, (size_t)size, f), size);
	fclose(f);
	unlink(file);
	return code;
}

#endif
