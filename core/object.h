/* Objects: what processes share by handles, and who holds what. Protocol: object.md. */
#ifndef PCN_OBJECT_H
#define PCN_OBJECT_H

#include "arena.h"
#include "block.h"

/* Names an object: its place, and which of all that ever stood there. */
struct pcn_name {
    uint32_t object; /* index */
    uint64_t serial; /* 0: none */
};

#define PCN_NO_RECORD UINT32_MAX

/* Blocks that an object owns bear this slot in their owner's token; no process has it. */
#define PCN_OBJECT_SLOT 0xffffu

/* Make an object with an empty (zero) body, and this process's first hold on it. Nobody else
 * knows it before its name is handed on. PCN_OK, PCN_NO_MEMORY. */
enum pcn_status pcn_object_create(struct pcn_arena *arena, enum pcn_kind kind,
                                  struct pcn_name *name, uint32_t *hold);

/* Take a hold for this process. PCN_OK; PCN_CLOSED: the object has ended; PCN_NO_MEMORY. */
enum pcn_status pcn_object_hold(struct pcn_arena *arena, struct pcn_name name, uint32_t *hold);

/* Give a hold up; the object ends with its last one. */
void pcn_object_release(struct pcn_arena *arena, uint32_t hold);

/* Keep the object while its name travels; whoever arrives takes a hold, then unpins.
 * PCN_OK, PCN_CLOSED, PCN_NO_MEMORY. */
enum pcn_status pcn_object_pin(struct pcn_arena *arena, struct pcn_name name, uint32_t *pin);

/* The same for a name that is not going to be published before pcn_object_entrust(): until then
 * the pin ends with this process. */
enum pcn_status pcn_object_pin_unsent(struct pcn_arena *arena, struct pcn_name name,
                                      uint32_t *pin);

/* The name may be published without that: the pin is like any other from now on. */
void pcn_object_confirm(struct pcn_arena *arena, struct pcn_name name, uint32_t pin);

/* Nothing happens if that pin is gone. */
void pcn_object_unpin(struct pcn_arena *arena, struct pcn_name name, uint32_t pin);

/* From now on the pin is not this process's but the `carrier`'s, an object that the name lies in
 * or goes through: it ends with that, if nobody has unpinned it by then. To be done before the name
 * is published. If the carrier has ended the pin is confirmed. */
void pcn_object_entrust(struct pcn_arena *arena, struct pcn_name name, uint32_t pin,
                        struct pcn_name carrier);

/* What becomes of the holds and spots of a dead process and those before it in its slot;
 * pins that may have been published go to `heir` (0: nobody). Part of the sweep. */
void pcn_object_sweep(struct pcn_arena *arena, pcn_token dead, pcn_token heir);

/* The owner's token of blocks that belong to an object. */
static inline pcn_token pcn_object_token(struct pcn_name name)
{
    return (name.serial << 16) | PCN_OBJECT_SLOT;
}

static inline struct pcn_object *pcn_object_at(const struct pcn_arena *arena, uint32_t index)
{
    return (struct pcn_object *)(void *)(arena->base + PCN_OBJECTS_AT +
                                         (uint64_t)index * PCN_OBJECT_SIZE);
}

static inline void *pcn_object_body(const struct pcn_arena *arena, uint32_t index)
{
    return pcn_object_at(arena, index)->body;
}

static inline struct pcn_hold *pcn_hold_at(const struct pcn_arena *arena, uint32_t index)
{
    return (struct pcn_hold *)(void *)(arena->base + PCN_HOLDS_AT +
                                       (uint64_t)index * PCN_HOLD_SIZE);
}

/* Go through the holds (and remains) of an object: the next one at or behind `from`, or
 * PCN_NO_RECORD. Without the lock: what is found may be changing. */
uint32_t pcn_hold_next(const struct pcn_arena *arena, struct pcn_name name, uint32_t from);

/* The record of what `owner` holds or held of the object, or PCN_NO_RECORD. */
uint32_t pcn_hold_find(const struct pcn_arena *arena, struct pcn_name name, pcn_token owner);

/* Forget what a dead process left of the object: it has been reported and dealt with. */
void pcn_hold_settle(struct pcn_arena *arena, struct pcn_name name, pcn_token dead);

/* The name of the process whose record this is; "" if it is not known any more. */
void pcn_hold_whose(const struct pcn_arena *arena, const struct pcn_hold *hold,
                    char name[PCN_NAME_ROOM]);

/* Has the owner of this record died? (One that ended by itself with nothing in hand, too.) */
bool pcn_hold_is_dead(const struct pcn_arena *arena, const struct pcn_hold *hold);

#endif
