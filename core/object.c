#define _GNU_SOURCE
#include "object.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "failpoint.h"
#include "lock.h"
#include "owner.h"
#include "platform.h"
#include "spot.h"

static bool names(struct pcn_name name, const struct pcn_hold *hold)
{
    return pcn_load_relaxed64(&hold->serial) == name.serial &&
           pcn_load_relaxed32(&hold->object) == name.object;
}

static struct pcn_name name_of(const struct pcn_hold *hold)
{
    return (struct pcn_name){pcn_load_relaxed32(&hold->object),
                             pcn_load_relaxed64(&hold->serial)};
}

static bool counts(const struct pcn_hold *hold)
{
    uint32_t kind = pcn_load_relaxed32(&hold->kind);
    return kind == PCN_HOLD || kind == PCN_PIN;
}

/* One more record of a table whose records lie `size` apart. */
static enum pcn_status grow(struct pcn_arena *arena, pcn_atomic32 *high, uint32_t most,
                            uint64_t table, uint64_t size, uint32_t *index)
{
    uint32_t next = pcn_load_relaxed32(high);
    uint64_t at = table + next * size;
    if (next >= most) {
        errno = EOVERFLOW;
        return PCN_NO_MEMORY;
    }
    int refused = at % PCN_PAGE ? 0 : pcn_reserve_pages(arena->fd, at, PCN_PAGE);
    if (refused) {
        errno = refused;
        return PCN_NO_MEMORY;
    }
    PCN_FAILPOINT("object.grow.reserved");
    /* SYNC(object.table): a counted record has its page. */
    pcn_store_release32(high, next + 1);
    *index = next;
    return PCN_OK;
}

static void put_hold(struct pcn_arena *arena, uint32_t index)
{
    struct pcn_head *head = pcn_head(arena);
    struct pcn_hold *hold = pcn_hold_at(arena, index);
    pcn_store_relaxed64(&hold->owner, 0);
    PCN_FAILPOINT("object.hold.freed");
    hold->next_free = head->free_holds;
    head->free_holds = index + 1;
}

static uint32_t high_holds(const struct pcn_arena *arena)
{
    /* SYNC(object.table): a counted record has its page. */
    return pcn_load_acquire32(&pcn_head(arena)->holds_high);
}

static void forget_remains(struct pcn_arena *arena, struct pcn_name name, pcn_token dead)
{
    struct pcn_object *object = pcn_object_at(arena, name.object);
    uint32_t high = high_holds(arena);
    for (uint32_t index = 0; object->remains != 0 && index < high; index++) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&hold->owner);
        if (owner != 0 && (dead == 0 || owner == dead) && names(name, hold) &&
            pcn_load_relaxed32(&hold->kind) == PCN_REMAINS) {
            put_hold(arena, index);
            object->remains--;
        }
    }
}

/* Forget the pins that were entrusted to an object. What nobody holds any more, then, is put in
 * front of `ending`. */
static uint32_t drop_pins(struct pcn_arena *arena, pcn_token carrier, uint32_t ending)
{
    uint32_t high = high_holds(arena);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        if (pcn_load_relaxed64(&hold->owner) != carrier)
            continue;
        uint32_t place = pcn_load_relaxed32(&hold->object);
        struct pcn_object *object = pcn_object_at(arena, place);
        put_hold(arena, index);
        if (--object->holds == 0) {
            object->next_free = ending;
            ending = place + 1;
        }
    }
    return ending;
}

/* Nobody holds it any more; nor, perhaps, what has been on its way in it. To be repeated after a
 * death half-way: `serial` goes last. */
static void end(struct pcn_arena *arena, uint32_t first)
{
    struct pcn_head *head = pcn_head(arena);
    pcn_object_at(arena, first)->next_free = 0;
    for (uint32_t ending = first + 1; ending != 0;) {
        uint32_t index = ending - 1;
        struct pcn_object *object = pcn_object_at(arena, index);
        struct pcn_name name = {index, pcn_load_relaxed64(&object->serial)};
        ending = object->next_free;
        if (object->carries)
            ending = drop_pins(arena, pcn_object_token(name), ending);
        PCN_FAILPOINT("object.end.unpinned");
        pcn_spot_forget(arena, name);
        forget_remains(arena, name, 0);
        PCN_FAILPOINT("object.end.forgotten");
        if (pcn_load_relaxed32(&object->kind) == PCN_QUEUE)
            pcn_block_sweep_object(arena, pcn_object_token(name));
        else if (object->block != 0)
            pcn_block_free_of(arena, object->block, pcn_object_token(name));
        PCN_FAILPOINT("object.end.swept");
        pcn_store_relaxed64(&object->serial, 0);
        PCN_FAILPOINT("object.end.freed");
        object->next_free = head->free_objects;
        head->free_objects = index + 1;
    }
}

/* The last holder of the lock died: count anew who holds what, link anew what is free. */
static void rebuild(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t objects = pcn_load_relaxed32(&head->objects_high);
    uint32_t holds = high_holds(arena);
    for (uint32_t index = 0; index < objects; index++) {
        pcn_object_at(arena, index)->holds = 0;
        pcn_object_at(arena, index)->remains = 0;
    }
    head->free_holds = 0;
    for (uint32_t index = holds; index-- > 0;) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        struct pcn_name name = name_of(hold);
        struct pcn_object *object = pcn_object_at(arena, name.object);
        bool used = pcn_load_relaxed64(&hold->owner) != 0;
        if (used && pcn_load_relaxed64(&object->serial) == name.serial)
            *(counts(hold) ? &object->holds : &object->remains) += 1;
        else
            put_hold(arena, index);
    }
    for (uint32_t index = 0; index < objects; index++) {
        struct pcn_object *object = pcn_object_at(arena, index);
        if (pcn_load_relaxed64(&object->serial) != 0 && object->holds == 0)
            end(arena, index);
    }
    head->free_objects = 0;
    for (uint32_t index = objects; index-- > 0;) {
        struct pcn_object *object = pcn_object_at(arena, index);
        if (pcn_load_relaxed64(&object->serial) == 0) {
            object->next_free = head->free_objects;
            head->free_objects = index + 1;
        }
    }
}

static void lock(struct pcn_arena *arena)
{
    if (pcn_lock_acquire(arena, &pcn_head(arena)->objects_lock, arena->me) == PCN_OWNER_DIED)
        rebuild(arena);
}

static void unlock(struct pcn_arena *arena)
{
    pcn_lock_release(&pcn_head(arena)->objects_lock);
}

/* Under the lock: the pin of that name, or NULL if it is gone. */
static struct pcn_hold *find_pin(const struct pcn_arena *arena, struct pcn_name name,
                                 uint32_t pin)
{
    struct pcn_hold *hold = pcn_hold_at(arena, pin);
    bool found = pin < high_holds(arena) && pcn_load_relaxed64(&hold->owner) != 0 &&
                 pcn_load_relaxed32(&hold->kind) == PCN_PIN && names(name, hold);
    return found ? hold : NULL;
}

static bool is_there(const struct pcn_arena *arena, struct pcn_name name)
{
    /* SYNC(object.table): a counted record has its page. */
    return name.serial != 0 &&
           name.object < pcn_load_acquire32(&pcn_head(arena)->objects_high) &&
           pcn_load_relaxed64(&pcn_object_at(arena, name.object)->serial) == name.serial;
}

/* A record that names the object and is ours; under the lock. */
static enum pcn_status take_hold(struct pcn_arena *arena, struct pcn_name name,
                                 enum pcn_hold_kind kind, uint32_t flags, uint32_t *index)
{
    struct pcn_head *head = pcn_head(arena);
    if (head->free_holds != 0) {
        *index = head->free_holds - 1;
        head->free_holds = pcn_hold_at(arena, *index)->next_free;
    } else {
        enum pcn_status status = grow(arena, &head->holds_high, PCN_MAX_HOLDS, PCN_HOLDS_AT,
                                      PCN_HOLD_SIZE, index);
        if (status != PCN_OK)
            return status;
    }
    struct pcn_hold *hold = pcn_hold_at(arena, *index);
    const struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(arena->me));
    memset(hold, 0, sizeof *hold);
    pcn_store_relaxed64(&hold->serial, name.serial);
    pcn_store_relaxed32(&hold->object, name.object);
    pcn_store_relaxed32(&hold->kind, kind);
    pcn_store_relaxed32(&hold->flags, flags);
    pcn_store_relaxed32(&hold->pid, pcn_load_relaxed32(&slot->pid));
    PCN_FAILPOINT("object.hold.written");
    /* SYNC(object.hold): the record is whole before it counts; readers have no lock. */
    pcn_store_release64(&hold->owner, arena->me);
    PCN_FAILPOINT("object.hold.taken");
    pcn_object_at(arena, name.object)->holds++;
    return PCN_OK;
}

static void give_up(struct pcn_arena *arena, uint32_t index)
{
    struct pcn_object *object =
        pcn_object_at(arena, pcn_load_relaxed32(&pcn_hold_at(arena, index)->object));
    put_hold(arena, index);
    if (--object->holds == 0)
        end(arena, (uint32_t)pcn_load_relaxed32(&pcn_hold_at(arena, index)->object));
}

static enum pcn_status make(struct pcn_arena *arena, enum pcn_kind kind, struct pcn_name *name)
{
    struct pcn_head *head = pcn_head(arena);
    if (head->free_objects != 0) {
        name->object = head->free_objects - 1;
        head->free_objects = pcn_object_at(arena, name->object)->next_free;
    } else {
        enum pcn_status status = grow(arena, &head->objects_high, PCN_MAX_OBJECTS,
                                      PCN_OBJECTS_AT, PCN_OBJECT_SIZE, &name->object);
        if (status != PCN_OK)
            return status;
    }
    struct pcn_object *object = pcn_object_at(arena, name->object);
    name->serial = pcn_load_relaxed64(&head->serials) + 1;
    pcn_store_relaxed64(&head->serials, name->serial); /* never given again, whoever dies */
    PCN_FAILPOINT("object.make.numbered");
    memset((uint8_t *)object + sizeof object->serial, 0, sizeof *object - sizeof object->serial);
    pcn_store_relaxed32(&object->kind, kind);
    pcn_store_relaxed64(&object->serial, name->serial);
    PCN_FAILPOINT("object.make.made");
    return PCN_OK;
}

enum pcn_status pcn_object_create(struct pcn_arena *arena, enum pcn_kind kind,
                                  struct pcn_name *name, uint32_t *hold)
{
    lock(arena);
    enum pcn_status status = make(arena, kind, name);
    if (status == PCN_OK) {
        status = take_hold(arena, *name, PCN_HOLD, 0, hold);
        if (status != PCN_OK)
            end(arena, name->object);
    }
    unlock(arena);
    return status;
}

static enum pcn_status add(struct pcn_arena *arena, struct pcn_name name,
                           enum pcn_hold_kind kind, uint32_t flags, uint32_t *index)
{
    lock(arena);
    enum pcn_status status =
        is_there(arena, name) ? take_hold(arena, name, kind, flags, index) : PCN_CLOSED;
    unlock(arena);
    return status;
}

enum pcn_status pcn_object_hold(struct pcn_arena *arena, struct pcn_name name, uint32_t *hold)
{
    return add(arena, name, PCN_HOLD, 0, hold);
}

enum pcn_status pcn_object_pin(struct pcn_arena *arena, struct pcn_name name, uint32_t *pin)
{
    return add(arena, name, PCN_PIN, 0, pin);
}

enum pcn_status pcn_object_pin_unsent(struct pcn_arena *arena, struct pcn_name name,
                                      uint32_t *pin)
{
    return add(arena, name, PCN_PIN, PCN_HOLD_UNSENT, pin);
}

void pcn_object_confirm(struct pcn_arena *arena, struct pcn_name name, uint32_t pin)
{
    lock(arena);
    struct pcn_hold *hold = find_pin(arena, name, pin);
    if (hold)
        pcn_store_relaxed32(&hold->flags, 0);
    unlock(arena);
}

void pcn_object_unpin(struct pcn_arena *arena, struct pcn_name name, uint32_t pin)
{
    lock(arena);
    if (find_pin(arena, name, pin))
        give_up(arena, pin);
    unlock(arena);
}

void pcn_object_entrust(struct pcn_arena *arena, struct pcn_name name, uint32_t pin,
                        struct pcn_name carrier)
{
    lock(arena);
    struct pcn_hold *hold = find_pin(arena, name, pin);
    if (hold && is_there(arena, carrier)) {
        pcn_object_at(arena, carrier.object)->carries = 1;
        PCN_FAILPOINT("object.entrust.marked");
        pcn_store_relaxed64(&hold->owner, pcn_object_token(carrier));
        PCN_FAILPOINT("object.entrust.entrusted");
    } else if (hold) {
        pcn_store_relaxed32(&hold->flags, 0);
    }
    unlock(arena);
}

/* Is there something to be told of what the dead one held? */
static bool leaves_something(const struct pcn_arena *arena, const struct pcn_hold *hold,
                             bool left)
{
    struct pcn_name name = name_of(hold);
    const struct pcn_object *object = pcn_object_at(arena, name.object);
    if (pcn_load_relaxed32(&hold->held) != 0 ||
        (pcn_load_relaxed32(&hold->flags) & PCN_HOLD_KEEP) != 0)
        return true;
    switch (pcn_load_relaxed32(&object->kind)) {
    case PCN_MUTEX:
        return pcn_word_owner(pcn_object_body(arena, name.object)) ==
               pcn_load_relaxed64(&hold->owner);
    case PCN_BARRIER:
        return !left;
    case PCN_QUEUE:
        return !left && pcn_load_relaxed64(&hold->taken) != 0;
    default:
        return false;
    }
}

/* A hold becomes what its process leaves. */
static void leave_remains(struct pcn_arena *arena, struct pcn_hold *hold)
{
    uint32_t index = pcn_load_relaxed32(&hold->object);
    struct pcn_object *object = pcn_object_at(arena, index);
    const struct pcn_slot *slot =
        pcn_slot_at(arena, pcn_token_slot(pcn_load_relaxed64(&hold->owner)));
    memcpy(hold->name, slot->name, sizeof hold->name);
    pcn_store_relaxed32(&hold->kind, PCN_REMAINS);
    PCN_FAILPOINT("object.sweep.remains");
    object->remains++;
    if (--object->holds == 0)
        end(arena, index);
}

void pcn_object_release(struct pcn_arena *arena, uint32_t hold)
{
    lock(arena);
    struct pcn_hold *record = pcn_hold_at(arena, hold);
    if (pcn_load_relaxed64(&record->owner) == arena->me) {
        /* Who drops a lock that it owns may die owning it. */
        if (pcn_load_relaxed32(&pcn_object_at(arena, pcn_load_relaxed32(&record->object))->kind) ==
                PCN_MUTEX &&
            leaves_something(arena, record, false))
            leave_remains(arena, record);
        else
            give_up(arena, hold);
    }
    unlock(arena);
}

void pcn_object_sweep(struct pcn_arena *arena, pcn_token dead, pcn_token heir)
{
    const struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(dead));
    bool left = pcn_load_relaxed32(&slot->leaving) != 0;
    lock(arena);
    uint32_t high = high_holds(arena);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&hold->owner);
        /* Sweepers that died have begun generations of their own since the dead one's. */
        if (owner == 0 || pcn_token_slot(owner) != pcn_token_slot(dead) || owner > dead ||
            !counts(hold))
            continue;
        if (pcn_load_relaxed32(&hold->kind) == PCN_PIN && heir != 0 &&
            (pcn_load_relaxed32(&hold->flags) & PCN_HOLD_UNSENT) == 0) {
            pcn_store_relaxed64(&hold->owner, heir);
        } else if (pcn_load_relaxed32(&hold->kind) == PCN_HOLD &&
                   leaves_something(arena, hold, left)) {
            leave_remains(arena, hold);
        } else {
            give_up(arena, index);
        }
    }
    unlock(arena);
    pcn_spot_sweep(arena, dead);
}

uint32_t pcn_hold_next(const struct pcn_arena *arena, struct pcn_name name, uint32_t from)
{
    uint32_t high = high_holds(arena);
    for (uint32_t index = from; index < high; index++) {
        const struct pcn_hold *hold = pcn_hold_at(arena, index);
        /* SYNC(object.hold): what the record says is seen with its owner. */
        if (pcn_load_acquire64(&hold->owner) != 0 && names(name, hold) &&
            pcn_load_relaxed32(&hold->kind) != PCN_PIN)
            return index;
    }
    return PCN_NO_RECORD;
}

uint32_t pcn_hold_find(const struct pcn_arena *arena, struct pcn_name name, pcn_token owner)
{
    for (uint32_t index = pcn_hold_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, name, index + 1)) {
        if (pcn_load_relaxed64(&pcn_hold_at(arena, index)->owner) == owner)
            return index;
    }
    return PCN_NO_RECORD;
}

void pcn_hold_settle(struct pcn_arena *arena, struct pcn_name name, pcn_token dead)
{
    lock(arena);
    if (is_there(arena, name))
        forget_remains(arena, name, dead);
    unlock(arena);
}

void pcn_hold_whose(const struct pcn_arena *arena, const struct pcn_hold *hold,
                    char name[PCN_NAME_ROOM])
{
    pcn_token owner = pcn_load_relaxed64(&hold->owner);
    const struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(owner));
    const char *from = "";
    if (pcn_load_relaxed32(&hold->kind) == PCN_REMAINS)
        from = hold->name;
    else if (pcn_load_relaxed64(&slot->generation) == pcn_token_generation(owner))
        from = slot->name;
    memcpy(name, from, strnlen(from, PCN_NAME_ROOM - 1) + 1);
    name[PCN_NAME_ROOM - 1] = 0;
}

bool pcn_hold_is_dead(const struct pcn_arena *arena, const struct pcn_hold *hold)
{
    return pcn_load_relaxed32(&hold->kind) == PCN_REMAINS ||
           !pcn_owner_alive(arena, pcn_load_relaxed64(&hold->owner));
}
