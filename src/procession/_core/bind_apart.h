/* What travels apart (apart.h): made here of Python's buffers, and handed to Python again. */
#ifndef PROCESSION_BIND_APART_H
#define PROCESSION_BIND_APART_H

#include "binding.h" /* first: it has Python.h */

#include "apart.h"
#include "block.h"

/* A body and its buffers, held until they are written. */
struct apart {
    struct pcn_part body;
    struct pcn_part *buffers;
    Py_ssize_t count; /* of the buffers */
    uint64_t size;    /* of the block that they make */
    Py_buffer *views; /* the body's, and theirs */
    Py_ssize_t held;
};

/* Look at a body (any buffer) and a sequence of buffers. -1 with an exception. */
int apart_hold(struct apart *apart, PyObject *body, PyObject *buffers);
void apart_release(struct apart *apart);

/* The tuple (body, parts) that an encoder may return instead of bytes. -1 with an exception. */
int apart_hold_pair(struct apart *apart, PyObject *pair);

/* Write it there; others run meanwhile if it is much. */
void apart_write(struct pcn_arena *arena, const struct apart *apart, pcn_block_id block);

/* Who has received such a block gets Memory around it, and `*block` becomes 0; or, where that might
 * stay for long while others need the room, or there is no room in the tables, a bytearray that is
 * still to be filled from it. NULL with an exception. */
PyObject *apart_arrived(struct pcn_arena *arena, pcn_block_id *block, uint64_t length);

/* Free it; others run meanwhile if that takes a while. */
void free_block(struct pcn_arena *arena, pcn_block_id block);

#endif
