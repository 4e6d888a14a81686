#include "apart.h"

#include <string.h>

#include "copy.h"
#include "failpoint.h"

/* Where the next buffer begins. */
static uint64_t aligned(uint64_t offset)
{
    return (offset + PCN_APART_ALIGNMENT - 1) / PCN_APART_ALIGNMENT * PCN_APART_ALIGNMENT;
}

uint64_t pcn_apart_size(const struct pcn_part *body, const struct pcn_part *buffers,
                        uint64_t count)
{
    const uint64_t most = UINT64_MAX / 4; /* so that no sum of two overflows */
    uint64_t size = sizeof(uint64_t) + (body->length < most ? body->length : most);
    for (uint64_t i = 0; i < count && size < most; i++)
        size = aligned(size) + (buffers[i].length < most ? buffers[i].length : most);
    return size < most ? size : UINT64_MAX;
}

static uint64_t put(uint8_t *to, uint64_t offset, const struct pcn_part *part)
{
    pcn_copy(to + offset, part->bytes, part->length);
    return offset + part->length;
}

void pcn_apart_write(uint8_t *to, const struct pcn_part *body, const struct pcn_part *buffers,
                     uint64_t count)
{
    memcpy(to, &body->length, sizeof body->length);
    uint64_t offset = put(to, sizeof body->length, body);
    PCN_FAILPOINT("apart.write.body");
    for (uint64_t i = 0; i < count; i++) {
        offset = put(to, aligned(offset), &buffers[i]);
        PCN_FAILPOINT("apart.write.buffer");
    }
}
