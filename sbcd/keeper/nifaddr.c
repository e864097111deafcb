#include "sbcd/keeper/nifaddr.h"

int nifaddr_of(struct netif_ip *out, const struct addr *a)
{
	char text[ADDR_TEXT_SIZE];

	return netif_ip_parse(out, addr_format_ip(a, text, sizeof(text)));
}

int nifaddr_list(struct netif_ip *out, const struct addr *list, size_t len)
{
	int err = 0;

	for (size_t i = 0; i < len && !err; i++)
		err = nifaddr_of(&out[i], &list[i]);
	return err;
}
