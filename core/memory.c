#include "memory.h"

#include "owner.h"

uint8_t *pcn_memory_bytes(const struct pcn_arena *arena, uint32_t object)
{
    uint32_t block = pcn_object_at(arena, object)->block;
    return block ? pcn_block_bytes(arena, block) : pcn_object_body(arena, object);
}

void pcn_memory_freeze(struct pcn_arena *arena, uint32_t object)
{
    pcn_store_relaxed32(&pcn_object_at(arena, object)->frozen, 1);
}

bool pcn_memory_is_frozen(const struct pcn_arena *arena, uint32_t object)
{
    return pcn_load_relaxed32(&pcn_object_at(arena, object)->frozen) != 0;
}

/* The object whose body is there, or that the block there was given to; PCN_MAX_OBJECTS: none. */
static uint32_t object_there(const struct pcn_arena *arena, uint64_t at)
{
    if (at < PCN_OBJECTS_AT)
        return PCN_MAX_OBJECTS;
    if (at < PCN_HOLDS_AT)
        return (uint32_t)((at - PCN_OBJECTS_AT) / PCN_OBJECT_SIZE);
    pcn_block_id id = pcn_block_around(arena, at);
    const struct pcn_block *block = id ? pcn_block_at(arena, id - 1) : NULL;
    if (!block || pcn_token_slot(pcn_load_relaxed64(&block->owner)) != PCN_OBJECT_SLOT)
        return PCN_MAX_OBJECTS;
    return pcn_load_relaxed32(&block->object);
}

bool pcn_memory_around(const struct pcn_arena *arena, const void *bytes, uint64_t length,
                       struct pcn_name *name, uint64_t *offset)
{
    uint64_t at = (uint64_t)((uintptr_t)bytes - (uintptr_t)arena->base);
    if (at >= arena->reserve)
        return false;
    name->object = object_there(arena, at);
    /* SYNC(object.table): a counted record has its page. */
    if (name->object >= pcn_load_acquire32(&pcn_head(arena)->objects_high))
        return false;
    const struct pcn_object *object = pcn_object_at(arena, name->object);
    if (pcn_load_relaxed32(&object->kind) != PCN_MEMORY || !pcn_load_relaxed32(&object->frozen))
        return false;
    uint64_t first = (uint64_t)(pcn_memory_bytes(arena, name->object) - arena->base);
    name->serial = pcn_load_relaxed64(&object->serial);
    *offset = at - first;
    return name->serial != 0 && at >= first && *offset <= object->size && length <= object->size - *offset;
}
