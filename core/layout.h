/* The map of the family arena: what lies where, and the words all parts share.
 *
 *   offset 0           struct pcn_head      one page: stamp, sizes, the heap's lock
 *   PCN_SLOTS_AT       struct pcn_slot[]    a process's place in the arena
 *   PCN_BLOCKS_AT      struct pcn_block[]   one descriptor a block; the table is the truth
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
#define PCN_LAYOUT_VERSION 1u
#define PCN_CACHE_LINE 64u
#define PCN_PAGE 4096u
#define PCN_MAX_SLOTS 4096u
#define PCN_MAX_BLOCKS 65536u
#define PCN_CLASSES 160u

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
};

/* SWEEPING: a sweep has begun; who finds it begins anew. */
enum pcn_slot_state { PCN_SLOT_RAW, PCN_SLOT_FREE, PCN_SLOT_TAKEN, PCN_SLOT_SWEEPING };

enum pcn_block_state {
    PCN_BLOCK_RAW,     /* descriptor never used */
    PCN_BLOCK_FREE,    /* pages may be there (warm) or not */
    PCN_BLOCK_OWNED,   /* `owner` has it; its death frees it */
    PCN_BLOCK_TRANSIT, /* on its way from `sender` to `owner` */
};

/* All fields are written under the heap's lock, except state OWNED -> TRANSIT, which the
 * owner itself stores (owner before state). A death between two stores leaves the state
 * that stood before; the free lists are derived and rebuilt from this table. */
struct pcn_block {
    pcn_atomic64 owner;
    pcn_atomic64 sender;
    pcn_atomic32 state;
    pcn_atomic32 warm;   /* 1: its pages exist */
    uint64_t offset;     /* from the arena's base; page aligned; fixed once set */
    uint64_t capacity;   /* bytes; a size class; fixed once set */
    uint64_t length;     /* bytes in use */
    uint32_t size_class;
    uint32_t next_free;  /* index + 1 of the next free block of the class; derived */
};

struct pcn_head {
    uint64_t magic;
    uint64_t stamp;   /* layout version and structure sizes; another stamp is refused */
    uint64_t reserve; /* bytes of address space */
    /* Guards the growth of the slot table; the kernel marks it if its holder dies. */
    pthread_mutex_t slots_lock;
    /* Slots ever used; grown under slots_lock. Blocks ever used; grown under heap_lock. */
    pcn_atomic32 slots_high;
    pcn_atomic32 blocks_high;
    struct pcn_lock heap_lock;
    /* index + 1 of the first free block of each class; derived from the table. */
    uint32_t free_blocks[PCN_CLASSES];
};

#define PCN_SLOT_SIZE 128u
#define PCN_BLOCK_SIZE 64u
#define PCN_SLOTS_AT ((uint64_t)PCN_PAGE)
#define PCN_BLOCKS_AT (PCN_SLOTS_AT + (uint64_t)PCN_MAX_SLOTS * PCN_SLOT_SIZE)
#define PCN_DATA_AT (PCN_BLOCKS_AT + (uint64_t)PCN_MAX_BLOCKS * PCN_BLOCK_SIZE)

_Static_assert(sizeof(struct pcn_head) <= PCN_PAGE, "the head fits its page");
_Static_assert(sizeof(struct pcn_slot) <= PCN_SLOT_SIZE, "a slot fits its place");
_Static_assert(sizeof(struct pcn_block) <= PCN_BLOCK_SIZE, "a block descriptor fits");
_Static_assert(PCN_DATA_AT % PCN_PAGE == 0, "blocks begin on a page");

#endif
