/*
 * haprobe - the parts of the tool.
 */
#ifndef TESTS_TOOLS_HAPROBE_HAPROBE_H
#define TESTS_TOOLS_HAPROBE_HAPROBE_H

/* Prints JSON; 0 when the two stores were equal in the end. */
int haprobe_bench(void);

#endif
