/* Blocks: runs of pages for what does not fit a ring, and for the rings themselves.
 * Protocol: block.md. */
#ifndef PCN_BLOCK_H
#define PCN_BLOCK_H

#include "arena.h"

/* Names a block: index + 1; 0 is no block. */
typedef uint32_t pcn_block_id;

/* A block of at least `length` bytes, owned by this process: its death frees it.
 * PCN_OK or PCN_NO_MEMORY (errno says why). Its content is unspecified. */
enum pcn_status pcn_block_allocate(struct pcn_arena *arena, uint64_t length, pcn_block_id *id,
                                   bool wait);

/* A free block up to this size keeps its pages, for the next one; a larger one gives them back. */
#define PCN_WARM_LIMIT (64ull << 20)

/* What an object's end leaves keeps its pages, whatever its size, while all free blocks together
 * have no more than this: its like is needed again soon, but not a hundred of them. */
#define PCN_WARM_TOTAL (256ull << 20)

/* Free it, whoever owns it. `cold`: give its pages back at once, whatever its size. */
enum pcn_status pcn_block_free(struct pcn_arena *arena, pcn_block_id id, bool cold, bool wait);

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

/* Hand an owned block to an object, for as long as that lives: `owner` is its token. Until a
 * process takes it over it is signed by us. */
void pcn_block_give(struct pcn_arena *arena, pcn_block_id id, pcn_token owner);

/* Take a block of an object's over: this process owns it from then on. */
void pcn_block_take_over(struct pcn_arena *arena, pcn_block_id id);

/* Free all that exactly `object` owns, warm as far as the limit goes. Returns how many. */
uint32_t pcn_block_sweep_object(struct pcn_arena *arena, pcn_token object);

/* Give the pages of all free blocks back to the system. */
void pcn_block_trim(struct pcn_arena *arena);

uint8_t *pcn_block_bytes(const struct pcn_arena *arena, pcn_block_id id);
uint64_t pcn_block_length(const struct pcn_arena *arena, pcn_block_id id);
uint64_t pcn_block_offset(const struct pcn_arena *arena, pcn_block_id id);

/* Bytes and number of blocks that somebody owns. */
void pcn_block_totals(const struct pcn_arena *arena, uint64_t *bytes, uint32_t *count);

/* The size class that holds `length` bytes, and a class's capacity: four classes for each
 * doubling, so that at most a fifth of a large block is slack. */
uint32_t pcn_block_class(uint64_t length);
uint64_t pcn_class_capacity(uint32_t size_class);

#endif
