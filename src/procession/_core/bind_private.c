/* Private views: a process's own copy of some bytes of a Memory, made page by page as it writes. */
#include "bind_memory.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

PyTypeObject *private_view_type;

struct private_view {
    PyObject_HEAD
    PyObject *memory; /* kept: what was not written yet is read from its pages */
    void *mapping;    /* whole pages around the bytes; NULL: there are none */
    uint64_t mapped;
    uint8_t *bytes;
    Py_ssize_t length;
};

/* Map the bytes that lie at `from`. Without the arena's descriptor, which programs close that do
 * not know it, they are copied. */
static int map(struct private_view *self, const struct pcn_arena *arena, const uint8_t *from)
{
    uint64_t at = (uint64_t)(from - arena->base);
    uint64_t begin = at / pcn_page_size() * pcn_page_size();
    bool can_map = family_has_descriptor();
    self->mapped = at - begin + (uint64_t)self->length;
    self->mapping = pcn_map_private(can_map ? arena->fd : -1, can_map ? begin : 0, self->mapped);
    if (!self->mapping) {
        PyErr_Format(PyExc_MemoryError,
                     "no private view of %zd bytes can be mapped: %s; free memory, or keep fewer "
                     "of them at once (see ulimit -v and, of mappings, vm.max_map_count)",
                     self->length, strerror(errno));
        return -1;
    }
    self->bytes = (uint8_t *)self->mapping + (at - begin);
    if (!can_map) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(self->bytes, from, (size_t)self->length);
        Py_END_ALLOW_THREADS
    }
    return 0;
}

PyObject *memory_private(PyObject *memory, PyObject *args)
{
    unsigned long long offset;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Kn", &offset, &length))
        return NULL;
    const uint8_t *from = memory_range((struct handle *)memory, offset, (uint64_t)length);
    if (!from)
        return NULL;
    struct private_view *self =
        (struct private_view *)PyType_GenericAlloc(private_view_type, 0);
    if (!self)
        return NULL;
    static uint8_t nothing;
    self->memory = Py_NewRef(memory);
    ((struct memory *)memory)->is_seen = true;
    self->length = length;
    self->bytes = &nothing;
    if (length > 0 && map(self, &family, from) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void private_dealloc(PyObject *object)
{
    struct private_view *self = (struct private_view *)object;
    if (self->mapping)
        pcn_unmap(self->mapping, self->mapped);
    Py_XDECREF(self->memory);
    free_object(object);
}

static int private_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct private_view *self = (struct private_view *)object;
    return PyBuffer_FillInfo(view, object, self->bytes, self->length, 0, flags);
}

static Py_ssize_t private_length(PyObject *object)
{
    return ((struct private_view *)object)->length;
}

static PyType_Slot private_slots[] = {
    {Py_tp_dealloc, private_dealloc},
    {Py_sq_length, private_length},
    {Py_bf_getbuffer, private_buffer},
    {Py_tp_doc, "Bytes of a Memory, copied where they are written: see Memory.private()."},
    {0, NULL},
};

PyType_Spec private_view_spec = {
    .name = "procession._core.binding.PrivateView",
    .basicsize = sizeof(struct private_view),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = private_slots,
};
