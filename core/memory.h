/* Memory: an object that is plain bytes, in its body or in a block of its own. */
#ifndef PCN_MEMORY_H
#define PCN_MEMORY_H

#include "object.h"

/* Where its bytes are, and how many (object.size). */
uint8_t *pcn_memory_bytes(const struct pcn_arena *arena, uint32_t object);

/* Nobody writes its bytes from now on: whoever made it says so. */
void pcn_memory_freeze(struct pcn_arena *arena, uint32_t object);

bool pcn_memory_is_frozen(const struct pcn_arena *arena, uint32_t object);

/* The frozen memory in which these bytes lie whole, and how far behind its begin. Something must
 * keep them meanwhile, as a pointer into it should: then what is read of the tables stands still.
 * False: they lie elsewhere. */
bool pcn_memory_around(const struct pcn_arena *arena, const void *bytes, uint64_t length,
                       struct pcn_name *name, uint64_t *offset);

#endif
