/* The map of the family arena: what lies where, and the words all parts share.
 *
 *   offset 0           struct pcn_head      one page: stamp, sizes, the heap's lock
 *   PCN_SLOTS_AT       struct pcn_slot[]    a process's place in the arena
 *   PCN_BLOCKS_AT      struct pcn_block[]   one descriptor a block; the table is the truth
 *   PCN_OBJECTS_AT     struct pcn_object[]  what processes share by handles: locks, queues ...
 *   PCN_HOLDS_AT       struct pcn_hold[]    which process holds which object; the truth about it
 *   PCN_SPOTS_AT       struct pcn_spot[]    where each thread that ever waited stands
 *   PCN_DATA_AT        the blocks' bytes    page aligned, grown at the end only
 *
 * Everything is addressed by offset: the arena may lie elsewhere in each process. */
#ifndef PCN_LAYOUT_H
#define PCN_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

#define PCN_MAGIC 0x6e6f697373636f72u /* "rocssion", little end first */
#define PCN_LAYOUT_VERSION 4u
#define PCN_CACHE_LINE 64u
#define PCN_PAGE 4096u
#define PCN_MAX_SLOTS 4096u
#define PCN_MAX_BLOCKS 65536u
#define PCN_CLASSES 160u
#define PCN_MAX_OBJECTS 131072u
#define PCN_MAX_HOLDS 262144u
#define PCN_MAX_SPOTS 16384u
#define PCN_BODY 448u       /* bytes of an object's body */
#define PCN_NAME_ROOM 48u   /* of a process's name, its final 0 included */
#define PCN_PLACE_ROOM 128u /* of a place in the code, its final 0 included */

/* Names one life of one slot: (generation << 16) | slot index. 0 is nobody. The first
 * generation is 1; another one begins at every join and at every sweep, so a token is
 * never given twice. */
typedef uint64_t pcn_token;

enum pcn_status {
    PCN_OK = 0,
    PCN_BUSY,       /* the lock is taken and the caller would not wait */
    PCN_OWNER_DIED, /* got it, but its last owner died holding it */
    PCN_EMPTY,
    PCN_FULL,
    PCN_TOO_BIG,
    PCN_CLOSED,
    PCN_TIMEOUT,
    PCN_SIGNAL,    /* a signal handler ran; the caller decides what next */
    PCN_NO_MEMORY, /* the system refused the pages, or a table is full */
    PCN_REFUSED,   /* another layout, or no arena at all */
};

/* A robust lock; see lock.h. 0: free. Else (token << 1) | somebody may sleep. */
struct pcn_lock {
    pcn_atomic64 word;
};

struct pcn_slot {
    /* Held by the process's life-long thread. Locked by: the owner for life, a sweeper for
     * the time of the sweep, and who asks for a moment. A death leaves it marked by the
     * kernel. All that follows is written only by who holds it. */
    pthread_mutex_t life;
    /* Of the last life that began here; 0 before the first. Who joins and who sweeps adds
     * one. A death leaves it: the dead one's, or one that nobody lives in. */
    pcn_atomic64 generation;
    /* Token of the process that made this one; 0 for the family's first. Owner writes.
     * Counts only while the slot is TAKEN or SWEEPING. */
    pcn_atomic64 parent;
    /* Process id, for people and reports; never used to judge life. Owner writes. */
    pcn_atomic32 pid;
    /* enum pcn_slot_state. Owner and sweeper write. A death leaves it as it was. */
    pcn_atomic32 state;
    /* 1: the process is about to end by itself. Owner writes; nobody changes it back. */
    pcn_atomic32 leaving;
    /* For people and reports. Owner writes, others may read it half written. */
    char name[PCN_NAME_ROOM];
};

/* SWEEPING: a sweep has begun; who finds it begins anew. */
enum pcn_slot_state { PCN_SLOT_RAW, PCN_SLOT_FREE, PCN_SLOT_TAKEN, PCN_SLOT_SWEEPING };

enum pcn_block_state {
    PCN_BLOCK_RAW,     /* descriptor never used */
    PCN_BLOCK_FREE,    /* pages may be there (warm) or not */
    PCN_BLOCK_OWNED,   /* `owner` has it; its death frees it */
    PCN_BLOCK_TRANSIT, /* on its way from `sender` to `owner` */
    PCN_BLOCK_JOINED,  /* its bytes belong to the block before it, until that is freed */
};

/* All fields are written under the heap's lock, except state OWNED -> TRANSIT, which the
 * owner itself stores (owner before state), and what its owner alone looks at. A death between
 * two stores leaves the state that stood before; the free lists and the accounts are derived
 * and rebuilt from this table. Readers without the lock may see the descriptor change that
 * they look at, unless it is of a block that they have; those before it never do then. */
struct pcn_block {
    pcn_atomic64 owner;
    pcn_atomic64 sender;
    pcn_atomic32 state;
    /* 1: its pages exist. Who owns it writes 1, once they are reserved. */
    pcn_atomic32 warm;
    pcn_atomic64 offset; /* from the arena's base; page aligned; fixed while it is counted */
    /* Bytes: its class's, and those of the blocks that are joined to it. */
    pcn_atomic64 capacity;
    uint64_t length;     /* bytes in use */
    uint32_t size_class; /* of what lies before the next descriptor's offset */
    uint32_t next_free;  /* index + 1 of the next free block of the class; derived */
    /* Index of the object that it was made for or handed to; counts only while `owner` is the
     * token of one. Written by who hands it over, before. A death leaves an old one. */
    pcn_atomic32 object;
    uint32_t unused;
};

/* Whose token a mutex's word names, with which its body begins (mutex.h); 0: nobody's. */
static inline pcn_token pcn_word_owner(const pcn_atomic64 *word)
{
    return pcn_load_relaxed64(word) >> 2;
}

enum pcn_kind {
    PCN_NO_KIND,
    PCN_MUTEX,     /* mutex.h: Lock and RLock */
    PCN_SEMAPHORE, /* semaphore.h */
    PCN_EVENT,     /* event.h */
    PCN_CONDITION, /* condition.h */
    PCN_BARRIER,   /* barrier.h */
    PCN_QUEUE,     /* queue.h */
    PCN_MEMORY,    /* plain bytes: in the body, or in a block */
};

/* What memory is for. */
enum pcn_purpose {
    PCN_MEMORY_VALUES,   /* what its holders write: a ctypes object */
    PCN_MEMORY_SENT,     /* a copy of what its maker sends */
    PCN_MEMORY_RECEIVED, /* what its maker was sent */
};

/* Something that processes share by handles. It lives as long as one hold names it.
 * All but the body is written under objects_lock; the body belongs to the kind. */
struct pcn_object {
    /* Names this object for ever; 0: free. A death leaves it as it was: holds decide. */
    pcn_atomic64 serial;
    pcn_atomic32 kind;  /* enum pcn_kind */
    uint32_t holds;     /* how many name it; derived from the table of holds */
    uint32_t next_free; /* index + 1; derived */
    uint32_t block;     /* its own block, or 0; written once, before others know of it */
    /* PCN_MEMORY: bytes; PCN_MUTEX: 1 for an RLock; PCN_QUEUE: 1 if joinable. Written once. */
    uint64_t size;
    uint32_t remains;   /* records of dead holders; derived */
    uint32_t carries;   /* 1: pins have been entrusted to it */
    /* PCN_MEMORY: 1: nobody writes its bytes any more. Written once, by its maker, before others
     * know of it. */
    pcn_atomic32 frozen;
    /* PCN_MEMORY: enum pcn_purpose, for reports. Written once, by its maker, before others know of
     * it. */
    uint32_t purpose;
    uint64_t spare[2];
    _Alignas(PCN_CACHE_LINE) uint8_t body[PCN_BODY];
};

enum pcn_hold_kind {
    PCN_NO_HOLD,
    PCN_HOLD,    /* a process has handles on it */
    PCN_PIN,     /* a pickled handle is on its way; outlives who pickled it, with its parent */
    PCN_REMAINS, /* what a dead process held of it; does not keep the object alive */
};

/* One process's share in one object. `owner`, `kind` and what names the object are written
 * under objects_lock; the counters and texts by the owner alone. A death leaves them: the
 * sweep turns a hold that still has something in hand to REMAINS, else frees it. */
struct pcn_hold {
    pcn_atomic64 owner; /* the truth: 0 is a free record */
    pcn_atomic64 serial;
    pcn_atomic32 object; /* index */
    pcn_atomic32 kind;   /* enum pcn_hold_kind */
    uint32_t next_free;  /* index + 1; derived */
    pcn_atomic32 pid;
    /* What the process has in hand: a mutex, permits of a semaphore. Announced before it is
     * taken and withdrawn behind it: so too large for a moment, never too small. */
    pcn_atomic32 held;
    pcn_atomic32 flags; /* PCN_HOLD_*, and the kind's own from bit 8 on */
    /* A queue's: items taken, tasks done, and the positions of the last taking. A mutex's:
     * in `taking_from` the thread that owns it. */
    pcn_atomic64 taken;
    pcn_atomic64 done;
    pcn_atomic64 taking_from;
    pcn_atomic64 taking_until;
    char name[PCN_NAME_ROOM];   /* REMAINS: of the dead process */
    char place[PCN_PLACE_ROOM]; /* in the code, where it took last; may be torn */
};

/* Keep what a dead process leaves of it, though it holds nothing. */
#define PCN_HOLD_KEEP 1u
/* A pin: nothing that needs it has been published. It ends with who made it. */
#define PCN_HOLD_UNSENT 2u

enum pcn_spot_state { PCN_SPOT_IDLE, PCN_SPOT_WAITING, PCN_SPOT_NOTIFIED };

/* Where one thread stands. Written by that thread, but `state` WAITING -> NOTIFIED by who
 * notifies it. A death leaves it as it was, until the sweep. */
struct pcn_spot {
    pcn_atomic64 owner;  /* token of its process; 0: free. The truth. */
    pcn_atomic64 serial; /* of the object waited for; 0: none */
    pcn_atomic64 thread; /* as Python numbers threads */
    pcn_atomic64 ticket; /* conditions: the order of arrival */
    pcn_atomic64 since;  /* pcn_now_ns() */
    pcn_atomic32 object; /* index */
    pcn_atomic32 pid;
    pcn_atomic32 state;  /* enum pcn_spot_state; its thread sleeps on this word */
    pcn_atomic32 op;     /* the kind's own: what it waits for there */
    char place[PCN_PLACE_ROOM];
};

struct pcn_head {
    uint64_t magic;
    uint64_t stamp;   /* layout version and structure sizes; another stamp is refused */
    uint64_t reserve; /* bytes of address space */
    uint64_t wanted;  /* as many as its maker asked for; the system may have granted less */
    /* Guards the growth of the slot table; the kernel marks it if its holder dies. */
    pthread_mutex_t slots_lock;
    /* Slots ever used; grown under slots_lock. Blocks ever used; grown under heap_lock. */
    pcn_atomic32 slots_high;
    pcn_atomic32 blocks_high;
    struct pcn_lock heap_lock;
    /* index + 1 of the first free block of each class, with pages and without; derived from the
     * table. */
    uint32_t free_warm[PCN_CLASSES];
    uint32_t free_cold[PCN_CLASSES];
    /* Bytes that blocks may have pages for; 0: no bound. Written under heap_lock. */
    pcn_atomic64 budget;
    /* Bytes of all blocks that are in use or have pages, and of those among them that are free.
     * Derived from the table; written under heap_lock. */
    pcn_atomic64 paged;
    pcn_atomic64 warm_free;
    /* How many blocks were freed so far: who waits for room sleeps on its lower half. Written
     * under heap_lock, by adding; a death leaves it too small by one at most. */
    pcn_atomic32 freed;
    /* 1: somebody is about to sleep there, or sleeps. Set and cleared under heap_lock; who clears
     * it wakes them all. A death leaves a needless wake, or sleepers until their time is over. */
    pcn_atomic32 room_waiters;
    /* Guards objects and holds. The counts only grow, under it. */
    struct pcn_lock objects_lock;
    pcn_atomic64 serials; /* the last one given; grown under objects_lock */
    pcn_atomic32 objects_high;
    pcn_atomic32 holds_high;
    pcn_atomic32 spots_high;
    uint32_t free_objects; /* index + 1 of the first; derived from the tables */
    uint32_t free_holds;
    struct pcn_lock spots_lock; /* guards the growth of the table of spots */
};

#define PCN_SLOT_SIZE 128u
#define PCN_BLOCK_SIZE 64u
#define PCN_OBJECT_SIZE 512u
#define PCN_HOLD_SIZE 256u
#define PCN_SPOT_SIZE 256u
#define PCN_SLOTS_AT ((uint64_t)PCN_PAGE)
#define PCN_BLOCKS_AT (PCN_SLOTS_AT + (uint64_t)PCN_MAX_SLOTS * PCN_SLOT_SIZE)
#define PCN_OBJECTS_AT (PCN_BLOCKS_AT + (uint64_t)PCN_MAX_BLOCKS * PCN_BLOCK_SIZE)
#define PCN_HOLDS_AT (PCN_OBJECTS_AT + (uint64_t)PCN_MAX_OBJECTS * PCN_OBJECT_SIZE)
#define PCN_SPOTS_AT (PCN_HOLDS_AT + (uint64_t)PCN_MAX_HOLDS * PCN_HOLD_SIZE)
#define PCN_DATA_AT (PCN_SPOTS_AT + (uint64_t)PCN_MAX_SPOTS * PCN_SPOT_SIZE)

_Static_assert(sizeof(struct pcn_head) <= PCN_PAGE, "the head fits its page");
_Static_assert(sizeof(struct pcn_slot) <= PCN_SLOT_SIZE, "a slot fits its place");
_Static_assert(sizeof(struct pcn_block) <= PCN_BLOCK_SIZE, "a block descriptor fits");
_Static_assert(sizeof(struct pcn_object) == PCN_OBJECT_SIZE, "an object fits its place");
_Static_assert(sizeof(struct pcn_hold) <= PCN_HOLD_SIZE, "a hold fits its place");
_Static_assert(sizeof(struct pcn_spot) <= PCN_SPOT_SIZE, "a spot fits its place");
_Static_assert(PCN_DATA_AT % PCN_PAGE == 0, "blocks begin on a page");

#endif
