#include "census.h"

#include <string.h>

#include "barrier.h"
#include "event.h"
#include "mutex.h"
#include "owner.h"
#include "platform.h"
#include "queue.h"
#include "semaphore.h"
#include "spot.h"

static uint32_t at_most(uint32_t count, uint32_t limit)
{
    return count < limit ? count : limit;
}

struct pcn_census pcn_census_sizes(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    struct pcn_census sizes;
    /* SYNC(owner.slot): a counted slot is made. */
    sizes.processes = at_most(pcn_load_acquire32(&head->slots_high), PCN_MAX_SLOTS);
    /* SYNC(object.table): a counted record has its page. */
    sizes.objects = at_most(pcn_load_acquire32(&head->objects_high), PCN_MAX_OBJECTS);
    /* SYNC(object.table): as above. */
    sizes.holds = at_most(pcn_load_acquire32(&head->holds_high), PCN_MAX_HOLDS);
    /* SYNC(spot.table): as above. */
    sizes.spots = at_most(pcn_load_acquire32(&head->spots_high), PCN_MAX_SPOTS);
    /* SYNC(block.table): as above; but it may be given back, and be another one's then. */
    sizes.blocks = at_most(pcn_load_acquire32(&head->blocks_high), PCN_MAX_BLOCKS);
    return sizes;
}

/* A text that its writer may be writing now: torn at worst, but ended. */
static void copy_text(char *to, const char *from, size_t room)
{
    memcpy(to, from, room - 1);
    to[room - 1] = 0;
}

/* Is what was copied still what stands there? Both words as before the copy. */
static bool unchanged(const pcn_atomic64 *first, uint64_t was, const pcn_atomic64 *second,
                      uint64_t second_was)
{
    /* SYNC(census.copy): the copy is made before this look, the first look before the copy. */
    pcn_fence_seq_cst();
    return pcn_load_relaxed64(first) == was && pcn_load_relaxed64(second) == second_was;
}

bool pcn_census_alive(const struct pcn_arena *arena, pcn_token token)
{
    uint32_t index = pcn_token_slot(token);
    if (token == 0 || index >= pcn_census_sizes(arena).processes)
        return false;
    const struct pcn_slot *slot = pcn_slot_at(arena, index);
    /* SYNC(owner.death): who is told "dead" sees what the dead one wrote. */
    if (pcn_load_acquire64(&slot->generation) != pcn_token_generation(token))
        return false;
    return pcn_life_is_held(&slot->life);
}

/* The name of a process whose slot has not been given to another one; else "". */
static void name_of_process(const struct pcn_arena *arena, pcn_token token,
                            char name[PCN_NAME_ROOM])
{
    uint32_t index = pcn_token_slot(token);
    name[0] = 0;
    if (index >= pcn_census_sizes(arena).processes)
        return;
    const struct pcn_slot *slot = pcn_slot_at(arena, index);
    copy_text(name, slot->name, PCN_NAME_ROOM);
    uint64_t generation = pcn_token_generation(token);
    if (!unchanged(&slot->generation, generation, &slot->generation, generation))
        name[0] = 0;
}

bool pcn_census_process(const struct pcn_arena *arena, uint32_t index,
                        struct pcn_process_record *record)
{
    const struct pcn_slot *slot = pcn_slot_at(arena, index);
    /* SYNC(owner.parent): the state of a life is stored behind its generation. */
    if (pcn_load_acquire32(&slot->state) != PCN_SLOT_TAKEN)
        return false;
    /* SYNC(owner.death): and what belongs to it is read behind that. */
    uint64_t generation = pcn_load_acquire64(&slot->generation);
    memset(record, 0, sizeof *record);
    record->token = pcn_token_make(generation, index);
    record->parent = pcn_load_relaxed64(&slot->parent);
    record->pid = pcn_load_relaxed32(&slot->pid);
    record->leaving = pcn_load_relaxed32(&slot->leaving) != 0;
    copy_text(record->name, slot->name, sizeof record->name);
    record->alive = pcn_census_alive(arena, record->token);
    return unchanged(&slot->generation, generation, &slot->generation, generation);
}

static void describe_semaphore(const struct pcn_semaphore *semaphore,
                               struct pcn_object_record *record)
{
    record->value = pcn_semaphore_value(semaphore);
    record->initial = semaphore->initial;
    record->most = semaphore->maximum;
    if (pcn_load_relaxed32(&semaphore->signals) != 0)
        record->flags |= PCN_CENSUS_SIGNALS;
}

static void describe_barrier(const struct pcn_barrier *barrier, struct pcn_object_record *record)
{
    record->value = pcn_barrier_waiting(barrier);
    record->most = barrier->parties;
    if (pcn_barrier_is_broken(barrier))
        record->flags |= PCN_CENSUS_BROKEN;
}

static void describe_queue(const struct pcn_queue *queue, struct pcn_object_record *record)
{
    uint64_t tail = pcn_load_relaxed64(&queue->tail);
    record->value = pcn_end_items(tail, pcn_load_relaxed64(&queue->head));
    record->most = queue->limit;
    if (pcn_load_relaxed32(&queue->closed) != 0)
        record->flags |= PCN_CENSUS_CLOSED;
}

bool pcn_census_object(const struct pcn_arena *arena, uint32_t index,
                       struct pcn_object_record *record)
{
    const struct pcn_object *object = pcn_object_at(arena, index);
    const void *body = object->body;
    uint64_t serial = pcn_load_relaxed64(&object->serial);
    if (serial == 0)
        return false;
    /* SYNC(census.copy): see unchanged(). */
    pcn_fence_seq_cst();
    memset(record, 0, sizeof *record);
    record->name = (struct pcn_name){index, serial};
    record->kind = pcn_load_relaxed32(&object->kind);
    switch (record->kind) {
    case PCN_MUTEX:
        record->owner = pcn_mutex_owner(body);
        record->flags = object->size != 0 ? PCN_CENSUS_RECURSIVE : 0;
        break;
    case PCN_SEMAPHORE:
        describe_semaphore(body, record);
        break;
    case PCN_EVENT:
        record->value = pcn_event_is_set(body);
        break;
    case PCN_BARRIER:
        describe_barrier(body, record);
        break;
    case PCN_QUEUE:
        describe_queue(body, record);
        break;
    case PCN_MEMORY:
        record->value = object->size;
        record->initial = object->purpose;
        record->flags = pcn_load_relaxed32(&object->frozen) != 0 ? PCN_CENSUS_FROZEN : 0;
        break;
    default:
        break;
    }
    return unchanged(&object->serial, serial, &object->serial, serial);
}

/* A mutex's owner writes its thread where a queue has something else. */
static uint64_t thread_in(const struct pcn_arena *arena, const struct pcn_hold *hold)
{
    uint32_t index = pcn_load_relaxed32(&hold->object);
    if (index >= pcn_census_sizes(arena).objects)
        return 0;
    if (pcn_load_relaxed32(&pcn_object_at(arena, index)->kind) != PCN_MUTEX)
        return 0;
    return pcn_load_relaxed64(&hold->taking_from);
}

bool pcn_census_hold(const struct pcn_arena *arena, uint32_t index,
                     struct pcn_hold_record *record)
{
    const struct pcn_hold *hold = pcn_hold_at(arena, index);
    /* SYNC(object.hold): what the record says is seen with its owner. */
    pcn_token owner = pcn_load_acquire64(&hold->owner);
    if (owner == 0)
        return false;
    memset(record, 0, sizeof *record);
    record->owner = owner;
    record->name.serial = pcn_load_relaxed64(&hold->serial);
    record->name.object = pcn_load_relaxed32(&hold->object);
    record->thread = thread_in(arena, hold);
    record->kind = pcn_load_relaxed32(&hold->kind);
    record->pid = pcn_load_relaxed32(&hold->pid);
    record->held = pcn_load_relaxed32(&hold->held);
    copy_text(record->place, hold->place, sizeof record->place);
    if (record->kind == PCN_REMAINS) {
        copy_text(record->whose, hold->name, sizeof record->whose);
    } else {
        record->alive = pcn_census_alive(arena, owner);
        name_of_process(arena, owner, record->whose);
    }
    return unchanged(&hold->owner, owner, &hold->serial, record->name.serial);
}

bool pcn_census_spot(const struct pcn_arena *arena, uint32_t index,
                     struct pcn_spot_record *record)
{
    const struct pcn_spot *spot = pcn_spot_at(arena, index);
    /* SYNC(spot.stand): who finds it at the object sees the rest. */
    uint64_t serial = pcn_load_acquire64(&spot->serial);
    pcn_token owner = pcn_load_relaxed64(&spot->owner);
    if (serial == 0 || owner == 0)
        return false;
    memset(record, 0, sizeof *record);
    record->owner = owner;
    record->name.serial = serial;
    record->name.object = pcn_load_relaxed32(&spot->object);
    record->thread = pcn_load_relaxed64(&spot->thread);
    record->since = pcn_load_relaxed64(&spot->since);
    record->pid = pcn_load_relaxed32(&spot->pid);
    record->state = pcn_load_relaxed32(&spot->state);
    uint32_t op = pcn_load_relaxed32(&spot->op);
    record->op = op & ~PCN_SPOT_TIMED;
    record->timed = op != record->op;
    copy_text(record->place, spot->place, sizeof record->place);
    record->alive = pcn_census_alive(arena, owner);
    name_of_process(arena, owner, record->whose);
    return unchanged(&spot->serial, serial, &spot->owner, owner);
}

bool pcn_census_block(const struct pcn_arena *arena, uint32_t index,
                      struct pcn_block_record *record)
{
    const struct pcn_block *block = pcn_block_at(arena, index);
    uint64_t offset = pcn_load_relaxed64(&block->offset);
    pcn_token owner = pcn_load_relaxed64(&block->owner);
    /* SYNC(census.copy): see unchanged(). */
    pcn_fence_seq_cst();
    memset(record, 0, sizeof *record);
    /* SYNC(block.transit): whoever sees TRANSIT sees whose it is. */
    record->state = pcn_load_acquire32(&block->state);
    if (record->state == PCN_BLOCK_RAW || record->state == PCN_BLOCK_JOINED)
        return false;
    record->offset = offset;
    record->capacity = pcn_load_relaxed64(&block->capacity);
    record->warm = pcn_load_relaxed32(&block->warm) != 0;
    if (record->state != PCN_BLOCK_FREE) {
        record->owner = owner;
        record->length = block->length;
        record->object = pcn_load_relaxed32(&block->object);
    }
    return unchanged(&block->owner, owner, &block->offset, offset);
}

struct pcn_room pcn_census_room(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    return (struct pcn_room){pcn_load_relaxed64(&head->budget), pcn_load_relaxed64(&head->paged),
                             pcn_load_relaxed64(&head->warm_free)};
}
