#include "binding.h"

#include <string.h>

#include "census.h"
#include "platform.h"

/* Python's record of the one at `index`; NULL without an exception: there is none. */
typedef PyObject *make_record(const struct pcn_arena *arena, uint32_t index);

static PyObject *text(const char *from)
{
    return PyUnicode_DecodeUTF8(from, (Py_ssize_t)strlen(from), "replace");
}

static PyObject *process(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_process_record it;
    if (!pcn_census_process(arena, index, &it))
        return NULL;
    return Py_BuildValue("KKINOO", (unsigned long long)it.token, (unsigned long long)it.parent,
                         (unsigned)it.pid, text(it.name), it.alive ? Py_True : Py_False,
                         it.leaving ? Py_True : Py_False);
}

static PyObject *object(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_object_record it;
    if (!pcn_census_object(arena, index, &it))
        return NULL;
    return Py_BuildValue("KIKKKKI", (unsigned long long)it.name.serial, (unsigned)it.kind,
                         (unsigned long long)it.owner, (unsigned long long)it.value,
                         (unsigned long long)it.initial, (unsigned long long)it.most,
                         (unsigned)it.flags);
}

static PyObject *hold(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_hold_record it;
    if (!pcn_census_hold(arena, index, &it) || it.kind == PCN_PIN)
        return NULL;
    return Py_BuildValue("KKIKINNO", (unsigned long long)it.name.serial,
                         (unsigned long long)it.owner, (unsigned)it.pid,
                         (unsigned long long)it.thread, (unsigned)it.held, text(it.whose),
                         text(it.place), it.alive ? Py_True : Py_False);
}

static PyObject *spot(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_spot_record it;
    if (!pcn_census_spot(arena, index, &it))
        return NULL;
    return Py_BuildValue("KKIKKIOONNO", (unsigned long long)it.name.serial,
                         (unsigned long long)it.owner, (unsigned)it.pid,
                         (unsigned long long)it.thread, (unsigned long long)it.since,
                         (unsigned)it.op, it.timed ? Py_True : Py_False,
                         it.state == PCN_SPOT_NOTIFIED ? Py_True : Py_False, text(it.whose),
                         text(it.place), it.alive ? Py_True : Py_False);
}

static PyObject *list_all(const struct pcn_arena *arena, uint32_t count, make_record *make)
{
    PyObject *list = PyList_New(0);
    for (uint32_t index = 0; list && index < count; index++) {
        PyObject *record = make(arena, index);
        bool failed = record ? PyList_Append(list, record) < 0 : PyErr_Occurred() != NULL;
        Py_XDECREF(record);
        if (failed)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *block(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_block_record it;
    if (!pcn_census_block(arena, index, &it))
        return NULL;
    return Py_BuildValue("KKKIOKI", (unsigned long long)it.offset,
                         (unsigned long long)it.capacity, (unsigned long long)it.length,
                         (unsigned)it.state, it.warm ? Py_True : Py_False,
                         (unsigned long long)it.owner, (unsigned)it.object);
}

static int watch(PyObject *descriptor, struct pcn_arena *arena)
{
    long fd = PyLong_AsLong(descriptor);
    if (fd == -1 && PyErr_Occurred())
        return -1;
    if (family.base && fd == family.fd && family_has_descriptor()) {
        *arena = family; /* no second mapping: addresses may be short */
        arena->fd = -1;
        return 0;
    }
    enum pcn_status status = pcn_arena_watch(arena, (int)fd);
    if (status == PCN_OK)
        return 0;
    raise_status(status);
    return -1;
}

static void watch_no_more(struct pcn_arena *arena)
{
    if (arena->fd < 0)
        return; /* it is the family's own mapping */
    arena->fd = -1; /* the caller's */
    pcn_arena_detach(arena);
}

static PyObject *census(PyObject *module, PyObject *descriptor)
{
    (void)module;
    struct pcn_arena arena;
    if (watch(descriptor, &arena) < 0)
        return NULL;
    struct pcn_census sizes = pcn_census_sizes(&arena);
    unsigned long long now = pcn_now_ns();
    PyObject *processes = list_all(&arena, sizes.processes, process);
    PyObject *objects = processes ? list_all(&arena, sizes.objects, object) : NULL;
    PyObject *holds = objects ? list_all(&arena, sizes.holds, hold) : NULL;
    PyObject *spots = holds ? list_all(&arena, sizes.spots, spot) : NULL;
    PyObject *all =
        spots ? Py_BuildValue("KOOOO", now, processes, objects, holds, spots) : NULL;
    Py_XDECREF(processes);
    Py_XDECREF(objects);
    Py_XDECREF(holds);
    Py_XDECREF(spots);
    watch_no_more(&arena);
    return all;
}

static PyObject *blocks(PyObject *module, PyObject *descriptor)
{
    (void)module;
    struct pcn_arena arena;
    if (watch(descriptor, &arena) < 0)
        return NULL;
    struct pcn_room room = pcn_census_room(&arena);
    PyObject *list = list_all(&arena, pcn_census_sizes(&arena).blocks, block);
    PyObject *all = list ? Py_BuildValue("KKKN", (unsigned long long)room.budget,
                                         (unsigned long long)room.paged,
                                         (unsigned long long)room.warm_free, list)
                         : NULL;
    watch_no_more(&arena);
    return all;
}

PyMethodDef census_methods[] = {
    {"census", census, METH_O,
     "census(fd): what stands in the arena behind `fd`, by reading alone: the time, and lists of "
     "processes, objects, holds and spots."},
    {"blocks", blocks, METH_O,
     "blocks(fd): the blocks in the arena behind `fd`, by reading alone: the budget, bytes of blocks "
     "with pages, of the free ones among them; and a list of (offset, capacity, length, state, "
     "warm, owner, object): states are 1 free, 2 owned, 3 on its way; the owner is a process's "
     "token, or an object's, its serial << 16 | 0xffff; 0: nobody."},
    {NULL, NULL, 0, NULL},
};
