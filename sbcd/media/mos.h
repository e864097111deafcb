/*
 * mos - what a listener would say of received audio: the E-model of ITU-T
 * G.107 reduced to what a relay knows (loss, jitter, codec).
 *
 * Layer: media. Any thread, no state.
 */
#ifndef SBCD_MEDIA_MOS_H
#define SBCD_MEDIA_MOS_H

#include <stdint.h>

/*
 * Mean opinion score times 100, 100..450; 0 when nothing was received. The
 * delay of the network is not known to a relay: 50 ms are assumed, and a
 * listener's jitter buffer of twice the jitter. Codecs by static payload type;
 * a dynamic one counts as G.711.
 */
uint16_t mos_e_model(uint64_t received, uint64_t lost, uint32_t jitter_us,
		     uint8_t payload_type);

#endif
