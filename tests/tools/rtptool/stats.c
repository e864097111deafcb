#include "rtptool.h"

#include <string.h>

static unsigned int hist_index(uint64_t us)
{
	unsigned int power, index;

	if (us < 32)
		return (unsigned int)us;
	power = 63 - (unsigned int)__builtin_clzll(us);
	index = (power - 4) * 32 + (unsigned int)((us >> (power - 5)) & 31);
	return index < RT_HIST_BUCKETS ? index : RT_HIST_BUCKETS - 1;
}

static uint64_t hist_value(unsigned int index)
{
	if (index < 32)
		return index;
	return (32ull + (index & 31)) << (index / 32 - 1);
}

void rt_hist_add(struct rt_hist *h, uint64_t us)
{
	h->bucket[hist_index(us)]++;
	h->count++;
	if (us > h->max_us)
		h->max_us = us;
}

void rt_hist_merge(struct rt_hist *to, const struct rt_hist *from)
{
	for (unsigned int i = 0; i < RT_HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->count += from->count;
	if (from->max_us > to->max_us)
		to->max_us = from->max_us;
}

double rt_hist_ms(const struct rt_hist *h, double quantile)
{
	uint64_t sum = 0;
	double want = quantile * (double)h->count;

	if (!h->count)
		return 0;
	for (unsigned int i = 0; i < RT_HIST_BUCKETS; i++) {
		sum += h->bucket[i];
		if (sum && (double)sum >= want)
			return (double)hist_value(i) / 1000.0;
	}
	return (double)h->max_us / 1000.0;
}

static bool window_test_set(struct rt_rx *rx, uint64_t seq)
{
	unsigned int bit = seq % RT_WINDOW_PACKETS;
	bool was = rx->seen[bit / 8] & (1u << bit % 8);

	rx->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
	return was;
}

static void window_advance(struct rt_rx *rx, uint64_t from, uint64_t to)
{
	if (to - from >= RT_WINDOW_PACKETS) {
		memset(rx->seen, 0, sizeof(rx->seen));
		return;
	}
	for (; from < to; from++) {
		unsigned int bit = from % RT_WINDOW_PACKETS;

		rx->seen[bit / 8] &= (uint8_t) ~(1u << bit % 8);
	}
}

/*
 * The time between two arrivals, less what the sender itself was silent: a
 * sender on hold or short of CPU is not a gap in the network.
 */
static void gap_measure(struct rt_rx *rx, const struct rt_probe *p,
			uint64_t now_ns, uint64_t limit_us)
{
	uint64_t arrival_us, sent_us, usual_us, pause_us = 0;
	struct rt_gap gap = {.from_ns = rx->last_ns, .to_ns = now_ns};

	if (now_ns <= rx->last_ns || p->seq <= rx->last_seq)
		return;
	arrival_us = (now_ns - rx->last_ns) / 1000;
	sent_us = p->sent_ns > rx->last_sent_ns
			  ? (p->sent_ns - rx->last_sent_ns) / 1000
			  : 0;
	usual_us = (p->seq - rx->last_seq) * (uint64_t)p->period_us;
	if (sent_us > usual_us)
		pause_us = sent_us - usual_us;
	if (pause_us > rx->sender_pause_us)
		rx->sender_pause_us = pause_us;
	gap.gap_us = arrival_us > pause_us ? arrival_us - pause_us : 0;
	gap.lost = p->seq - rx->last_seq - 1;
	if (gap.gap_us > rx->worst.gap_us)
		rx->worst = gap;
	if (gap.gap_us < limit_us)
		return;
	if (rx->gap_count < RT_GAPS_MAX)
		rx->gaps[rx->gap_count] = gap;
	rx->gap_count++;
}

void rt_rx_packet(struct rt_rx *rx, const struct rt_probe *p, uint64_t now_ns,
		  uint64_t gap_limit_us)
{
	if (!rx->locked) {
		rx->locked = true;
		rx->origin = p->origin;
		rx->source = p->id;
		rx->first_seq = rx->base_seq = rx->next_seq = p->seq;
		rx->first_ns = now_ns;
	} else if (rx->origin != p->origin || rx->source != p->id) {
		rx->foreign++;
		return;
	}
	if (p->seq < rx->base_seq ||
	    p->seq + RT_WINDOW_PACKETS <= rx->next_seq) {
		rx->stale++;
		return;
	}
	rx->packets++;
	if (p->seq >= rx->next_seq) {
		window_advance(rx, rx->next_seq, p->seq + 1);
		rx->next_seq = p->seq + 1;
		window_test_set(rx, p->seq);
	} else if (window_test_set(rx, p->seq)) {
		rx->dup++;
		return;
	} else {
		rx->reordered++;
	}
	rx->unique++;
	if (now_ns > p->sent_ns)
		rt_hist_add(&rx->latency, (now_ns - p->sent_ns) / 1000);
	if (rx->last_ns)
		gap_measure(rx, p, now_ns, gap_limit_us);
	rx->last_ns = now_ns;
	if (p->seq >= rx->last_seq) {
		rx->last_seq = p->seq;
		rx->last_sent_ns = p->sent_ns;
	}
}

void rt_rx_reset(struct rt_rx *rx)
{
	struct rt_rx old = *rx;

	memset(rx, 0, sizeof(*rx));
	rx->locked = old.locked;
	rx->origin = old.origin;
	rx->source = old.source;
	rx->first_seq = old.first_seq;
	rx->first_ns = old.first_ns;
	rx->base_seq = rx->next_seq = old.next_seq;
	rx->last_ns = old.last_ns;
	rx->last_sent_ns = old.last_sent_ns;
	rx->last_seq = old.last_seq;
	memcpy(rx->seen, old.seen, sizeof(rx->seen));
}

uint64_t rt_rx_expected(const struct rt_rx *rx)
{
	return rx->next_seq - rx->base_seq;
}

uint64_t rt_rx_lost(const struct rt_rx *rx)
{
	return rt_rx_expected(rx) - rx->unique;
}
