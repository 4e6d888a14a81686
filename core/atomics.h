/* The only door to C11 atomics. The memory order is part of each name, so that every
 * use shows its order; a non-relaxed use also names its partner in a SYNC(...) comment
 * (`tools/check_sync.py` holds that both ends exist). */
#ifndef PCN_ATOMICS_H
#define PCN_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint32_t pcn_atomic32;
typedef _Atomic uint64_t pcn_atomic64;

#define PCN_DEFINE_ATOMICS(bits)                                                            \
    static inline uint##bits##_t pcn_load_relaxed##bits(const pcn_atomic##bits *cell)       \
    {                                                                                       \
        return atomic_load_explicit(cell, memory_order_relaxed);                            \
    }                                                                                       \
    static inline uint##bits##_t pcn_load_acquire##bits(const pcn_atomic##bits *cell)       \
    {                                                                                       \
        return atomic_load_explicit(cell, memory_order_acquire);                            \
    }                                                                                       \
    static inline uint##bits##_t pcn_load_seq_cst##bits(const pcn_atomic##bits *cell)       \
    {                                                                                       \
        return atomic_load_explicit(cell, memory_order_seq_cst);                            \
    }                                                                                       \
    static inline void pcn_store_relaxed##bits(pcn_atomic##bits *cell, uint##bits##_t value) \
    {                                                                                       \
        atomic_store_explicit(cell, value, memory_order_relaxed);                           \
    }                                                                                       \
    static inline void pcn_store_release##bits(pcn_atomic##bits *cell, uint##bits##_t value) \
    {                                                                                       \
        atomic_store_explicit(cell, value, memory_order_release);                           \
    }                                                                                       \
    /* On failure *expected receives what the cell held; the failure order is relaxed,      \
     * for a caller that lost re-reads nothing on the strength of it. */                    \
    static inline bool pcn_cas_acquire##bits(pcn_atomic##bits *cell,                        \
                                             uint##bits##_t *expected,                      \
                                             uint##bits##_t desired)                        \
    {                                                                                       \
        return atomic_compare_exchange_strong_explicit(                                     \
            cell, expected, desired, memory_order_acquire, memory_order_relaxed);           \
    }                                                                                       \
    static inline bool pcn_cas_acq_rel##bits(pcn_atomic##bits *cell,                        \
                                             uint##bits##_t *expected,                      \
                                             uint##bits##_t desired)                        \
    {                                                                                       \
        return atomic_compare_exchange_strong_explicit(                                     \
            cell, expected, desired, memory_order_acq_rel, memory_order_relaxed);           \
    }                                                                                       \
    static inline bool pcn_cas_seq_cst##bits(pcn_atomic##bits *cell,                        \
                                             uint##bits##_t *expected,                      \
                                             uint##bits##_t desired)                        \
    {                                                                                       \
        return atomic_compare_exchange_strong_explicit(                                     \
            cell, expected, desired, memory_order_seq_cst, memory_order_relaxed);           \
    }                                                                                       \
    static inline bool pcn_cas_relaxed##bits(pcn_atomic##bits *cell,                        \
                                             uint##bits##_t *expected,                      \
                                             uint##bits##_t desired)                        \
    {                                                                                       \
        return atomic_compare_exchange_strong_explicit(                                     \
            cell, expected, desired, memory_order_relaxed, memory_order_relaxed);           \
    }                                                                                       \
    static inline uint##bits##_t pcn_exchange_release##bits(pcn_atomic##bits *cell,         \
                                                            uint##bits##_t value)           \
    {                                                                                       \
        return atomic_exchange_explicit(cell, value, memory_order_release);                 \
    }                                                                                       \
    static inline uint##bits##_t pcn_fetch_or_seq_cst##bits(pcn_atomic##bits *cell,         \
                                                            uint##bits##_t value)           \
    {                                                                                       \
        return atomic_fetch_or_explicit(cell, value, memory_order_seq_cst);                 \
    }                                                                                       \
    static inline uint##bits##_t pcn_add_relaxed##bits(pcn_atomic##bits *cell,              \
                                                       uint##bits##_t value)                \
    {                                                                                       \
        return atomic_fetch_add_explicit(cell, value, memory_order_relaxed);                \
    }

PCN_DEFINE_ATOMICS(32)
PCN_DEFINE_ATOMICS(64)

#undef PCN_DEFINE_ATOMICS

static inline void pcn_fence_acquire(void)
{
    atomic_thread_fence(memory_order_acquire);
}

static inline void pcn_fence_seq_cst(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

#endif
