/* What travels apart: a body, and buffers beside it, in one block.
 *
 *   u64 length of the body | body | pad | buffer | pad | buffer ...
 *
 * Each buffer begins at a multiple of PCN_APART_ALIGNMENT. What stands in the pads is unspecified:
 * whoever wrote the body knows how long the buffers are, and says it there. */
#ifndef PCN_APART_H
#define PCN_APART_H

#include "ring.h"

#define PCN_APART_ALIGNMENT 64u

/* Bytes of the whole; UINT64_MAX: more than can be counted. */
uint64_t pcn_apart_size(const struct pcn_part *body, const struct pcn_part *buffers,
                        uint64_t count);

/* Write all of it. */
void pcn_apart_write(uint8_t *to, const struct pcn_part *body, const struct pcn_part *buffers,
                     uint64_t count);

#endif
