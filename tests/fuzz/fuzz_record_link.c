/*
 * What a worker that was taken over may write into its socket. The input is
 * a row of messages: two bytes of length, then the message.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbcd/record/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_message m;
	struct link *l;
	int fds[2];

	require(link_socketpair(fds) == 0 && link_create(&l, fds[0]) == 0);
	while (size > 2) {
		size_t n = (size_t)data[0] << 8 | data[1];
		int got;

		data += 2;
		size -= 2;
		n = n > size ? size : n;
		if (!n || send(fds[1], data, n, MSG_DONTWAIT) != (ssize_t)n)
			break;
		do {
			got = link_receive(l, &m);
			require(got == 1 || got == -EBADMSG);
			require(got != 1 ||
				(m.size <= n && !m.fds_len &&
				 ((const char *)m.value)[m.size] == '\0'));
		} while (link_buffered(l));
		data += n;
		size -= n;
	}
	close(fds[1]);
	link_destroy(l);
	return 0;
}
