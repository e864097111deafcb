#include "sbcd/media/mos.h"

static const double delay_ms = 50;

/* ITU-T G.113 appendix I: impairment of a codec, and how well it hides loss. */
static void codec(uint8_t payload_type, double *ie, double *bpl)
{
	switch (payload_type) {
	case 3: /* GSM full rate */
		*ie = 20;
		*bpl = 43;
		break;
	case 4: /* G.723.1 */
		*ie = 15;
		*bpl = 16.1;
		break;
	case 15: /* G.728 */
		*ie = 7;
		*bpl = 17;
		break;
	case 18: /* G.729A */
		*ie = 11;
		*bpl = 19;
		break;
	default: /* G.711 with concealment */
		*ie = 0;
		*bpl = 25.1;
		break;
	}
}

uint16_t mos_e_model(uint64_t received, uint64_t lost, uint32_t jitter_us,
		     uint8_t payload_type)
{
	double ie, bpl, loss, d, r, mos;

	if (!received)
		return 0;
	codec(payload_type, &ie, &bpl);
	loss = 100.0 * (double)lost / ((double)received + (double)lost);
	d = delay_ms + 2 * (double)jitter_us / 1000;
	r = 93.2 - 0.024 * d - (d > 177.3 ? 0.11 * (d - 177.3) : 0);
	r -= ie + (95 - ie) * loss / (loss + bpl);
	if (r <= 0)
		return 100;
	if (r > 100)
		r = 100;
	mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;
	if (mos < 1)
		mos = 1;
	return (uint16_t)(mos * 100 + 0.5);
}
