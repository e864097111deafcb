/*
 * a=crypto lines from a peer: whatever is understood can be written and means
 * the same when it is read again; whatever is offered can be answered.
 *
 * Input: the lines of an m-line, one a line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/sip/sdes_negotiate.h"

static void check(int ok)
{
	if (!ok)
		abort();
}

static void written_and_read_again(const struct sdes_crypto *c)
{
	char text[SDES_LINE_SIZE];
	struct sdes_crypto again;
	ssize_t n = sdes_crypto_print(c, text, sizeof(text));
	struct sdp_text value = {text, (size_t)n};

	check(n > 0 && text[n] == '\0');
	check(sdes_crypto_parse(value, &again) == SDES_OK);
	check(sdes_same_key(c, &again) && c->tag == again.tag &&
	      c->flags == again.flags && c->lifetime == again.lifetime &&
	      c->mki == again.mki && c->mki_size == again.mki_size);
}

static void negotiate(const struct sdes_lines *lines)
{
	static const uint8_t keys[SDES_SUITES][SDES_KEY_SIZE_MAX];
	struct sdes_policy p = {.suites = {1, 2, 3, 4, 5, 6}, .suites_len = 6};
	struct sdes_refusal why;
	struct sdes_lines ours;
	struct sdes_crypto c;
	int n;

	for (unsigned flags = 0; flags < 8; flags++) {
		p.flags_ingress = flags;
		n = sdes_choose(&p, lines, &why);
		if (n >= 0) {
			check((unsigned)n < lines->len);
			sdes_answer(&p, &lines->line[n], keys[0], 1, &c);
			written_and_read_again(&c);
		} else {
			check(sdes_refusal_text(&why)[0] != '\0');
		}
		check(sdes_offer(&p, keys, 1, &ours) == 6);
		n = sdes_match_answer(&p, &ours, lines, &c, &why);
		check(n < 6);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[16384];
	struct sdes_lines lines;
	struct sdp *sdp;
	size_t used;

	used = (size_t)snprintf(text, sizeof(text),
				"v=0\nm=audio 4 RTP/SAVP 0\na=crypto:");
	for (size_t i = 0; i < size && used + 16 < sizeof(text); i++) {
		text[used++] = (char)data[i];
		if (data[i] == '\n') {
			memcpy(text + used, "a=crypto:", 9);
			used += 9;
		}
	}
	if (sdp_parse(&sdp, text, used, NULL))
		return 0;
	sdes_lines_read(sdp, 0, &lines);
	sdp_destroy(sdp);
	check(lines.len <= lines.seen && lines.seen <= SDES_LINES_MAX);
	for (unsigned i = 0; i < lines.len; i++)
		written_and_read_again(&lines.line[i]);
	negotiate(&lines);
	return 0;
}
