/* The census: who is in the family, what its processes share, who holds it and who waits for it, by
 * reading alone. Protocol: census.md. */
#ifndef PCN_CENSUS_H
#define PCN_CENSUS_H

#include "object.h"

/* Each of these copies one record of a table, if there is one at `index`: false if not, or if it
 * changed meanwhile. None of them writes to the arena, takes a lock or waits. */

struct pcn_process_record {
    pcn_token token;
    pcn_token parent;
    uint32_t pid;
    bool alive;
    bool leaving; /* about to end by itself */
    char name[PCN_NAME_ROOM];
};

struct pcn_object_record {
    struct pcn_name name;
    uint32_t kind;   /* enum pcn_kind */
    uint32_t flags;  /* PCN_CENSUS_... */
    pcn_token owner; /* a mutex's; 0: it is free */
    /* A semaphore's permits that are free; an event's 1 or 0; who waits in a barrier's round;
     * the items of a queue; bytes of memory. */
    uint64_t value;
    uint64_t initial; /* a semaphore's; of memory enum pcn_purpose */
    uint64_t most;    /* a semaphore's maximum, a barrier's parties, a queue's limit; 0: none */
};

#define PCN_CENSUS_SIGNALS 1u   /* a semaphore: its permits belong to nobody */
#define PCN_CENSUS_CLOSED 2u    /* a queue: shut down */
#define PCN_CENSUS_BROKEN 4u    /* a barrier */
#define PCN_CENSUS_RECURSIVE 8u /* a mutex: of an RLock, which its owner alone may free */
#define PCN_CENSUS_FROZEN 16u   /* memory: nobody writes it any more */

struct pcn_hold_record {
    struct pcn_name name;
    pcn_token owner;
    uint64_t thread; /* of a mutex: that took it last; 0: not written down */
    uint32_t kind;   /* enum pcn_hold_kind */
    uint32_t pid;
    uint32_t held;
    bool alive;
    char whose[PCN_NAME_ROOM];
    char place[PCN_PLACE_ROOM];
};

struct pcn_spot_record {
    struct pcn_name name;
    pcn_token owner;
    uint64_t thread;
    uint64_t since; /* pcn_now_ns() */
    uint32_t pid;
    uint32_t state; /* enum pcn_spot_state */
    uint32_t op; /* without that */
    bool timed;
    bool alive;
    char whose[PCN_NAME_ROOM];
    char place[PCN_PLACE_ROOM];
};

struct pcn_block_record {
    pcn_token owner; /* a process's, or an object's (pcn_object_token()); 0: it is free */
    uint64_t offset;
    uint64_t capacity; /* bytes, with what is joined to it */
    uint64_t length;   /* in use */
    uint32_t state;    /* enum pcn_block_state */
    uint32_t object;   /* index; counts if the owner is an object */
    bool warm;
};

/* What blocks may have, and have: bytes of pages. */
struct pcn_room {
    uint64_t budget; /* 0: no bound */
    uint64_t paged;
    uint64_t warm_free;
};

/* How many records there are to look at: slots, objects, holds, spots, blocks. */
struct pcn_census {
    uint32_t processes, objects, holds, spots, blocks;
};

struct pcn_census pcn_census_sizes(const struct pcn_arena *arena);

bool pcn_census_process(const struct pcn_arena *arena, uint32_t index,
                        struct pcn_process_record *record);
bool pcn_census_object(const struct pcn_arena *arena, uint32_t index,
                       struct pcn_object_record *record);
bool pcn_census_hold(const struct pcn_arena *arena, uint32_t index,
                     struct pcn_hold_record *record);
bool pcn_census_spot(const struct pcn_arena *arena, uint32_t index,
                     struct pcn_spot_record *record);

/* Not of what is joined to another one. */
bool pcn_census_block(const struct pcn_arena *arena, uint32_t index,
                      struct pcn_block_record *record);

/* Each of the three as it is at some moment. */
struct pcn_room pcn_census_room(const struct pcn_arena *arena);

/* Does the process of this token live? As pcn_owner_alive(), without touching its life lock. */
bool pcn_census_alive(const struct pcn_arena *arena, pcn_token token);

#endif
