/*
 * Prints the role table of hasync/role.c as a Promela inline, so that the
 * model steps through the very table the keeper steps through.
 * tests/model/run.py compares this with the file in the repository.
 */
#include <ctype.h>
#include <stdio.h>

#include "hasync/role.h"

static void print_name(const char *prefix, const char *name)
{
	printf("%s", prefix);
	for (; *name; name++)
		putchar(*name == '-' ? '_' : toupper((unsigned char)*name));
}

int main(void)
{
	printf("/* Printed from hasync/role.c by print_table.c: do not edit. "
	       "*/\n");
	for (int r = 0; r < HA_ROLE_COUNT; r++) {
		print_name("#define ", ha_role_name((enum ha_role)r));
		printf(" %d\n", r);
	}
	for (int e = 0; e < HA_EV_COUNT; e++) {
		print_name("#define EV_", ha_event_name((enum ha_event)e));
		printf(" %d\n", e);
	}
	printf("#define ACT_SHUT_GATE %d\n#define ACT_QUIESCE %d\n"
	       "#define ACT_RELEASE %d\n#define ACT_NEW_EPOCH %d\n"
	       "#define ACT_TAKE %d\n",
	       HA_ACT_SHUT_GATE, HA_ACT_QUIESCE, HA_ACT_RELEASE,
	       HA_ACT_NEW_EPOCH, HA_ACT_TAKE);
	printf("inline role_step(xrole, xstep)\n{\n\tacts = 0;\n\tif\n");
	for (int r = 0; r < HA_ROLE_COUNT; r++) {
		for (int e = 0; e < HA_EV_COUNT; e++) {
			struct ha_step s =
				ha_role_step((enum ha_role)r, (enum ha_event)e);

			if (!s.legal || ((int)s.next == r && !s.actions))
				continue;
			print_name("\t:: xrole == ",
				   ha_role_name((enum ha_role)r));
			print_name(" && xstep == EV_",
				   ha_event_name((enum ha_event)e));
			print_name(" -> xrole = ", ha_role_name(s.next));
			printf("; acts = %u\n", s.actions);
		}
	}
	printf("\t:: else -> skip\n\tfi\n}\n");
	return 0;
}
