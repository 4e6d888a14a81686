/* Blocks: runs of pages for what does not fit a ring, and for the rings themselves.
 * Protocol: block.md. */
#ifndef PCN_BLOCK_H
#define PCN_BLOCK_H

#include "arena.h"

/* Names a block: index + 1; 0 is no block. */
typedef uint32_t pcn_block_id;

/* What a block is for. Of the budget, arguments and what else is sent ahead may have three
 * quarters, so that results, which make room by being collected, find some; what is no larger than
 * a record may go beyond it by an eighth, so that things go on. */
enum pcn_use { PCN_FOR_ARGUMENTS, PCN_FOR_RESULTS, PCN_FOR_RECORDS };

/* The largest record: see above. */
#define PCN_RECORD (64ull << 10)

/* A block of at least `length` bytes, owned by this process: its death frees it. Its content is
 * unspecified. PCN_OK; PCN_BUSY: unless `wait`, the lock is taken or many pages are to be reserved;
 * PCN_NO_MEMORY and errno: EDQUOT: not within the budget, or not among the addresses, before
 * something is freed (or ever: pcn_block_most()); else the system has no pages to give. */
enum pcn_status pcn_block_allocate_for(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                       pcn_block_id *id, bool wait);

/* The same, for a record if it is no larger, else for results. */
enum pcn_status pcn_block_allocate(struct pcn_arena *arena, uint64_t length, pcn_block_id *id,
                                   bool wait);

/* The largest length that can be had if nobody else has anything. */
uint64_t pcn_block_most(const struct pcn_arena *arena, enum pcn_use use);

/* Free blocks keep their pages, for the next of their class, while all of them together have no
 * more than this, or an eighth of the budget. */
#define PCN_WARM_TOTAL (256ull << 20)

/* Before as many bytes of pages are reserved at once, the system is asked whether it has them. */
#define PCN_ASK_SYSTEM (1ull << 20)

/* Free it, whoever owns it. `cold`: give its pages back at once. PCN_OK; PCN_BUSY only unless
 * `wait`. */
enum pcn_status pcn_block_free(struct pcn_arena *arena, pcn_block_id id, bool cold, bool wait);

/* Bytes of pages that blocks may have; 0: no bound. Setting it gives back pages of free blocks;
 * what is in use stays. */
uint64_t pcn_block_budget(const struct pcn_arena *arena);
void pcn_block_set_budget(struct pcn_arena *arena, uint64_t bytes);

/* Sleep until there may be more room than when pcn_block_freed() was `seen`: to be read before an
 * attempt that fails. PCN_OK, PCN_TIMEOUT, PCN_SIGNAL. */
uint32_t pcn_block_freed(const struct pcn_arena *arena);
enum pcn_status pcn_block_wait_freed(struct pcn_arena *arena, uint32_t seen,
                                     uint64_t timeout_ns);

/* Hand an owned block to `receiver`, which must not be swept while the sender lives: its
 * parent. Until the receiver has read the record that names the block, a death of the
 * sender is settled by pcn_block_reclaim(). */
void pcn_block_send(struct pcn_arena *arena, pcn_block_id id, pcn_token receiver);

/* The receiver takes a sent block over; while the record that names it is not retired. */
void pcn_block_adopt(struct pcn_arena *arena, pcn_block_id id);

/* The receiver frees what the dead `sender` had on its way to it, after reading all that
 * was published. Returns how many. */
uint32_t pcn_block_reclaim(struct pcn_arena *arena, pcn_token sender);

/* Free all that `owner` owned, and whoever had its slot before; all of them dead. Returns
 * how many. */
uint32_t pcn_block_sweep(struct pcn_arena *arena, pcn_token owner);

/* Hand an owned block to an object, for as long as that lives: `owner` is its token, `object` its
 * index. Until a process takes it over it is signed by us. */
void pcn_block_give(struct pcn_arena *arena, pcn_block_id id, pcn_token owner, uint32_t object);

/* The same, unsigned, and with a mark that tells the object's kind what the block is for. It is no
 * process's token. */
void pcn_block_give_marked(struct pcn_arena *arena, pcn_block_id id, pcn_token owner,
                           uint32_t object, uint64_t mark);

/* Mark an object's block anew. */
void pcn_block_mark(struct pcn_arena *arena, pcn_block_id id, uint64_t mark);

/* Whether it is the object's, whose token `owner` is; and its mark. */
bool pcn_block_has_mark(const struct pcn_arena *arena, pcn_block_id id, pcn_token owner,
                        uint64_t *mark);

/* Take a block over that was given with a mark: this process owns it from then on. */
void pcn_block_take_over(struct pcn_arena *arena, pcn_block_id id);

/* Free it, if exactly `owner` has it. */
void pcn_block_free_of(struct pcn_arena *arena, pcn_block_id id, pcn_token owner);

/* Free all that exactly `object` owns. Returns how many. */
uint32_t pcn_block_sweep_object(struct pcn_arena *arena, pcn_token object);

/* Give the pages of all free blocks back to the system. */
void pcn_block_trim(struct pcn_arena *arena);

uint8_t *pcn_block_bytes(const struct pcn_arena *arena, pcn_block_id id);
uint64_t pcn_block_length(const struct pcn_arena *arena, pcn_block_id id);
uint64_t pcn_block_offset(const struct pcn_arena *arena, pcn_block_id id);

/* The block that lies around this offset of the arena, or 0. Whoever asks knows that there is one
 * that somebody owns; otherwise it is a guess. */
pcn_block_id pcn_block_around(const struct pcn_arena *arena, uint64_t offset);

/* Bytes and number of blocks that somebody owns. */
void pcn_block_totals(const struct pcn_arena *arena, uint64_t *bytes, uint32_t *count);

/* The size class that holds `length` bytes, and a class's capacity: four classes for each
 * doubling, so that at most a fifth of a large block is slack. */
uint32_t pcn_block_class(uint64_t length);
uint64_t pcn_class_capacity(uint32_t size_class);

#endif
