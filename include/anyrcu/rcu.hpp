/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * C++26's <rcu> ([saferecl.rcu] of the working draft) in namespace anyrcu, for C++17 and later, and
 * a few helpers beyond it. docs/rcu-hpp.md goes through the draft clause by clause.
 *
 * What the draft leaves open, and what holds here:
 *
 * - retire(), rcu_retire() and unlock() never invoke deleters. A worker does, or a caller of
 *   rcu_barrier() or anyrcu_reclaim(). So they cannot deadlock, whatever locks the caller holds and
 *   a deleter takes.
 * - retire() allocates nothing and may be called from any context: signal handlers, deleters,
 *   destructors of thread-local objects, children of fork(). So may rcu_retire() and
 *   rcu_try_retire(), within the limits that they name.
 * - A deleter may retire, read and take locks. An exception out of it ends the program.
 * - There is one domain, which is also that of the C functions: regions and deferrals of both may
 *   be mixed.
 */
#ifndef ANYRCU_RCU_HPP
#define ANYRCU_RCU_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "anyrcu/rcu.hpp needs C++17 or later"
#endif

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <anyrcu/cache.h>
#include <anyrcu/defer.h>
#include <anyrcu/page.h>
#include <anyrcu/rcu.h>

namespace anyrcu
{

class rcu_domain;
template <class T, class D> class rcu_obj_base;

/**
 * rcu_default_domain() - the domain that all regions and deferrals belong to
 *
 * Return: the same object every time, in every shared object of the program.
 */
rcu_domain &rcu_default_domain() noexcept;

/**
 * class rcu_domain - regions of RCU protection, as a Lockable
 *
 * lock() opens a region, as anyrcu_read_lock() does; unlock() closes the last one opened by this
 * thread and not yet closed; try_lock() always succeeds. Regions nest. std::scoped_lock and
 * std::unique_lock take a domain.
 *
 * Context: any.
 */
class ANYRCU_DATA rcu_domain
{
public:
	rcu_domain(const rcu_domain &) = delete;
	rcu_domain &operator=(const rcu_domain &) = delete;

	void lock() noexcept
	{
		anyrcu_read_lock();
	}

	bool try_lock() noexcept
	{
		anyrcu_read_lock();
		return true;
	}

	void unlock() noexcept
	{
		anyrcu_read_unlock();
	}

private:
	constexpr rcu_domain() = default;
	friend rcu_domain &rcu_default_domain() noexcept;
};

ANYRCU_DATA inline rcu_domain &rcu_default_domain() noexcept
{
	static rcu_domain domain;

	return domain;
}

/**
 * rcu_synchronize() - wait until all regions that had been opened before are closed
 *
 * Inside a region it reports the mistake and aborts, as it would wait for itself.
 *
 * Context: a task that may sleep, outside regions.
 */
inline void rcu_synchronize(rcu_domain & = rcu_default_domain()) noexcept
{
	anyrcu_synchronize();
}

/* liburcu has a macro of this name; the parentheses prevent its expansion. */
/**
 * rcu_barrier() - wait until all objects that were retired before are deleted
 *
 * Inside a region or a deleter it reports the mistake and aborts, as it would wait for itself. The
 * caller must hold no lock that a deleter takes, as rcu_barrier() may invoke deleters itself.
 *
 * Context: a task that may sleep, outside regions and deleters.
 */
inline void(rcu_barrier)(rcu_domain & = rcu_default_domain()) noexcept
{
	anyrcu_barrier();
}

/* Not an interface. */
namespace detail
{

/* The head and the deleter of an object. An empty deleter takes no space. */
template <class D, bool = std::is_empty<D>::value && !std::is_final<D>::value> struct hook : D {
	anyrcu_head head;

	D &deleter() noexcept
	{
		return *this;
	}
};

template <class D> struct hook<D, false> {
	anyrcu_head head;
	D d;

	D &deleter() noexcept
	{
		return d;
	}
};

template <class X, class Y> std::true_type has_one_base(const volatile rcu_obj_base<X, Y> *);
std::false_type has_one_base(...);

/* Can the deleter of T's base delete a T? */
template <class T, class X, class Y>
std::integral_constant<bool, std::is_same<T, X>::value || std::has_virtual_destructor<X>::value>
retires_itself(const volatile rcu_obj_base<X, Y> *);
template <class T> std::false_type retires_itself(...);

/* Neither ambiguous nor inaccessible: tested from outside of all classes. */
template <class T, class B, class = void> struct is_protectable : std::false_type {
};
template <class T, class B>
struct is_protectable<T, B, std::void_t<decltype(static_cast<T *>(std::declval<B *>()))>>
    : std::conjunction<std::is_convertible<T *, B *>, decltype(has_one_base(std::declval<T *>()))> {
};

template <class D, class T, class = void> struct is_deleter : std::false_type {
};
template <class D, class T>
struct is_deleter<D, T, std::void_t<decltype(std::declval<D &>()(std::declval<T *>()))>>
    : std::true_type {
};

/* May the deleter be dropped, and constructed anew when it is invoked? */
template <class D>
using is_stateless = std::conjunction<std::is_empty<D>, std::is_trivially_default_constructible<D>,
				      std::is_trivially_copyable<D>>;

/* Is it a function that can be invoked directly on any pointer? */
template <class D>
using takes_any = std::conjunction<std::is_pointer<D>, std::is_convertible<D, void (*)(void *)>>;

template <class T> void *erase(T *p) noexcept
{
	return const_cast<void *>(static_cast<const volatile void *>(p));
}

/* The callback of an object without a head whose deleter has no state. */
template <class T, class D> void invoke_stateless(void *p) noexcept
{
	D d = D();

	d(static_cast<T *>(p));
}

/* A deferral of an object without a head, allocated for it. */
template <class T, class D> struct retirement {
	anyrcu_head head;
	T *p;
	D d;

	retirement(T *object, D &&deleter) : head(), p(object), d(std::move(deleter)) {}

	static void invoke(anyrcu_head *head) noexcept
	{
		std::unique_ptr<retirement> r(reinterpret_cast<retirement *>(head));

		r->d(r->p);
	}
};

/* Store (@p, @d) without an allocation, if that is possible. */
template <class T, class D> bool retire_headless(T *p, D &d) noexcept
{
	if constexpr (is_stateless<D>::value)
		return anyrcu_call_headless(invoke_stateless<T, D>, erase(p));
	else if constexpr (takes_any<D>::value)
		return anyrcu_call_headless(d, erase(p));
	else
		return false;
}

/* As operator new does, but also in programs without exceptions. */
[[noreturn]] inline void throw_bad_alloc()
{
#if defined(__cpp_exceptions)
	throw std::bad_alloc();
#else
	std::terminate();
#endif
}

} // namespace detail

/**
 * class rcu_obj_base - the base of a class whose objects are retired
 * @T: the class that is derived from it: struct node : anyrcu::rcu_obj_base<node>
 * @D: the deleter of an object: a function object, default constructible and move assignable
 *
 * T has exactly one such base class, public and not virtual. T may be incomplete until a member is
 * used. The base takes 16 bytes, and those of the deleter unless that is empty.
 */
template <class T, class D = std::default_delete<T>> class rcu_obj_base
{
public:
	/**
	 * retire() - have the deleter invoked on the object once no region can see it
	 * @d: the deleter, which is moved into the object, and out of it before it is invoked
	 *
	 * Never fails, waits, allocates or invokes a deleter. An object is retired once
	 * (ANYRCU_DEBUG=1 finds mistakes). The deleter runs in another thread, or in a thread that
	 * waits for it.
	 *
	 * Context: any, including a signal handler that interrupted this library.
	 * Ordering: all that was before the call, and all regions that had been opened before it,
	 *           happen before the deleter is invoked.
	 */
	void retire(D d = D(), rcu_domain & = rcu_default_domain()) noexcept
	{
		hook_.deleter() = std::move(d);
		anyrcu_call(head(), invoke);
	}

	/**
	 * retire_sized() - as retire(), and say how much memory waits for the deleter
	 * @bytes: about; counted as pending, so that pending_bytes_max of struct anyrcu_config
	 *         bounds large objects
	 *
	 * Context and ordering: as retire().
	 */
	void retire_sized(std::size_t bytes, D d = D()) noexcept
	{
		hook_.deleter() = std::move(d);
		anyrcu_call_sized(head(), invoke, bytes);
	}

protected:
	rcu_obj_base() = default;
	rcu_obj_base(const rcu_obj_base &) = default;
	rcu_obj_base(rcu_obj_base &&) = default;
	rcu_obj_base &operator=(const rcu_obj_base &) = default;
	rcu_obj_base &operator=(rcu_obj_base &&) = default;
	~rcu_obj_base() = default;

private:
	/* Where retire() is used T is complete, so it is checked here. */
	anyrcu_head *head() noexcept
	{
		static_assert(detail::is_protectable<T, rcu_obj_base>::value,
			      "T must have exactly one base class of type rcu_obj_base<T, D>, public "
			      "and not virtual, and none of type rcu_obj_base<X, Y> for another X, Y");
		static_assert(detail::is_deleter<D, T>::value,
			      "d(p) must be well-formed for D d and T *p");
		return &hook_.head;
	}

	static void invoke(anyrcu_head *head) noexcept
	{
/* GCC warns of offsetof in classes without standard layout; it and clang define it there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
		constexpr std::size_t offset = __builtin_offsetof(rcu_obj_base, hook_.head);
#pragma GCC diagnostic pop
		rcu_obj_base *base =
			reinterpret_cast<rcu_obj_base *>(reinterpret_cast<char *>(head) - offset);
		D d = D();

		/* The deleter is destroyed with the object, so invoke a copy that outlives it. */
		d = std::move(base->hook_.deleter());
		d(static_cast<T *>(base));
	}

	detail::hook<D> hook_;
};

/**
 * rcu_try_retire() - have a deleter invoked on any object, if that takes no allocation
 * @p: the object
 * @d: the deleter, which has no state, or is a function with a void * argument, such as std::free
 *
 * Context: any, including a signal handler that interrupted this library.
 * Return: false if nothing was done: no page was available, or too much is pending.
 * Ordering: as rcu_obj_base::retire().
 */
template <class T, class D = std::default_delete<T>>
[[nodiscard]] bool rcu_try_retire(T *p, D d = D()) noexcept
{
	static_assert(detail::is_deleter<D, T>::value, "d(p) must be well-formed");
	static_assert(detail::is_stateless<D>::value || detail::takes_any<D>::value,
		      "rcu_try_retire() takes a deleter without state, "
		      "or a function that takes a void *");
	return detail::retire_headless(p, d);
}

/**
 * rcu_retire() - have a deleter invoked on any object once no region can see it
 * @p: the object, which needs no base class
 * @d: the deleter
 *
 * Never waits and never invokes a deleter. A deleter with state needs an allocation; others need
 * none, unless no page is available or too much is pending, see rcu_try_retire().
 *
 * Context: a task, in regions and outside. A signal handler must call rcu_try_retire() or
 * rcu_obj_base::retire() instead, as it must not call operator new.
 * Throws: std::bad_alloc, and exceptions of moving @d. Then the object is not retired.
 * Ordering: as rcu_obj_base::retire().
 */
template <class T, class D = std::default_delete<T>>
void rcu_retire(T *p, D d = D(), rcu_domain & = rcu_default_domain())
{
	static_assert(std::is_move_constructible<D>::value, "D must be move constructible");
	static_assert(detail::is_deleter<D, T>::value, "d(p) must be well-formed");
	if (!detail::retire_headless(p, d)) {
		auto *r = new detail::retirement<T, D>(p, std::move(d));

		anyrcu_call(&r->head, detail::retirement<T, D>::invoke);
	}
}

/**
 * class rcu_reader - a region for the duration of a scope
 *
 * Context: any.
 */
class [[nodiscard]] rcu_reader
{
public:
	rcu_reader() noexcept
	{
		anyrcu_read_lock();
	}

	explicit rcu_reader(rcu_domain &) noexcept : rcu_reader() {}

	~rcu_reader()
	{
		anyrcu_read_unlock();
	}

	rcu_reader(const rcu_reader &) = delete;
	rcu_reader &operator=(const rcu_reader &) = delete;
};

/**
 * struct deferred_delete - a deleter for std::unique_ptr that retires
 *
 * std::unique_ptr<T, deferred_delete<T>> is for objects that regions may see. An object with the
 * base class rcu_obj_base is retired by its retire(), and so in any context; other objects by
 * rcu_retire(), and if that finds no memory the task waits for a grace period.
 */
template <class T> struct deferred_delete {
	constexpr deferred_delete() noexcept = default;
	template <class U, class = std::enable_if_t<std::is_convertible<U *, T *>::value>>
	deferred_delete(const deferred_delete<U> &) noexcept
	{
	}

	void operator()(T *p) const noexcept
	{
		static_assert(sizeof(T) > 0, "T must be complete where it is deleted");
		if constexpr (decltype(detail::retires_itself<std::remove_cv_t<T>>(p))::value)
			p->retire();
		else if (!rcu_try_retire(p))
			retire_or_wait(p);
	}

private:
	using retirement = detail::retirement<T, std::default_delete<T>>;

	static void retire_or_wait(T *p) noexcept
	{
		auto *r = new (std::nothrow) retirement(p, std::default_delete<T>());

		if (r)
			anyrcu_call(&r->head, retirement::invoke);
		else
			anyrcu_call_mightsleep(detail::invoke_stateless<T, std::default_delete<T>>,
					       detail::erase(p));
	}
};

template <class T> using rcu_unique_ptr = std::unique_ptr<T, deferred_delete<T>>;

/**
 * struct cache_delete - a deleter for objects in memory of a cache, or of anyrcu_alloc()
 *
 * For rcu_obj_base<T, cache_delete<T>>, rcu_retire(p, cache_delete<T>()), and std::unique_ptr.
 */
template <class T> struct cache_delete {
	void operator()(T *p) const noexcept
	{
		p->~T();
		anyrcu_dealloc(p);
	}
};

/**
 * class rcu_cache - objects of one type from an object cache (anyrcu/cache.h)
 *
 * The constructor throws std::bad_alloc if there is no memory. All objects must be freed or retired
 * before the cache is destroyed; the destructor waits for retired ones.
 */
template <class T> class rcu_cache
{
public:
	explicit rcu_cache(const char *name = "rcu_cache", std::size_t bytes_max = 0)
	{
		anyrcu_cache_config c = {};

		c.size = sizeof(c);
		c.name = name;
		c.object_size = sizeof(T);
		c.align = alignof(T) > 16 ? alignof(T) : 0;
		c.bytes_max = bytes_max;
		cache_ = anyrcu_cache_create(&c);
		if (!cache_)
			detail::throw_bad_alloc();
	}

	rcu_cache(const rcu_cache &) = delete;
	rcu_cache &operator=(const rcu_cache &) = delete;

	~rcu_cache()
	{
		if constexpr (!std::is_trivially_destructible<T>::value)
			anyrcu_barrier(); /* for the destructors */
		anyrcu_cache_destroy(cache_);
	}

	/**
	 * make() - an object, made as T(args...)
	 *
	 * Context: a task that may sleep. Throws: std::bad_alloc, and what the constructor throws.
	 */
	template <class... A> T *make(A &&...args)
	{
		void *p = anyrcu_cache_alloc(cache_, ANYRCU_GFP_KERNEL);

		if (!p)
			detail::throw_bad_alloc();
		held memory{cache_, p};
		T *object = ::new (p) T(std::forward<A>(args)...);

		memory.p = nullptr;
		return object;
	}

	/**
	 * try_make() - the same without waiting
	 *
	 * Context: any. Return: nullptr without memory; then the constructor was not called.
	 */
	template <class... A> T *try_make(A &&...args) noexcept
	{
		void *p = anyrcu_cache_alloc(cache_, ANYRCU_GFP_NO_LOCKS);

		return p ? ::new (p) T(std::forward<A>(args)...) : nullptr;
	}

	/**
	 * retire() - destroy an object of this cache once no region can see it
	 *
	 * Context: any where T needs no destructor, or has the base
	 * rcu_obj_base<T, cache_delete<T>>; otherwise as rcu_retire().
	 */
	void retire(T *p)
	{
		if constexpr (std::is_trivially_destructible<T>::value)
			anyrcu_cache_free_deferred(cache_, p);
		else if constexpr (std::is_base_of<rcu_obj_base<T, cache_delete<T>>, T>::value)
			p->retire();
		else
			rcu_retire(p, cache_delete<T>());
	}

private:
	struct held { /* until the constructor has returned */
		anyrcu_cache *cache;
		void *p;

		~held()
		{
			anyrcu_cache_free(cache, p);
		}
	};

	anyrcu_cache *cache_;
};

/**
 * class rcu_ptr - a pointer that updaters publish and readers follow
 *
 * load() is anyrcu_dereference(), store() is anyrcu_assign_pointer(). The pointer owns nothing,
 * except that replace() takes ownership of the published object and retires the former one.
 * Concurrent updaters must use exchange(), compare_exchange() or replace().
 *
 * Context: any; load() in a region. replace(): as deferred_delete.
 */
template <class T> class rcu_ptr
{
public:
	using element_type = T;

	constexpr rcu_ptr(T *p = nullptr) noexcept : p_(p) {}
	rcu_ptr(const rcu_ptr &) = delete;
	rcu_ptr &operator=(const rcu_ptr &) = delete;

	T *load() const noexcept
	{
		return anyrcu_dereference(p_);
	}

	T *operator->() const noexcept
	{
		return load();
	}

	T &operator*() const noexcept
	{
		return *load();
	}

	explicit operator bool() const noexcept
	{
		return p_.load(std::memory_order_relaxed) != nullptr;
	}

	void store(T *p) noexcept
	{
		anyrcu_assign_pointer(p_, p);
	}

	T *exchange(T *p) noexcept
	{
		return p_.exchange(p, std::memory_order_acq_rel);
	}

	bool compare_exchange(T *&expected, T *p) noexcept
	{
		return p_.compare_exchange_strong(expected, p, std::memory_order_acq_rel,
						  std::memory_order_acquire);
	}

	void replace(std::unique_ptr<T> p = nullptr) noexcept
	{
		rcu_unique_ptr<T> old(exchange(p.release()));
	}

private:
	std::atomic<T *> p_;
};

/**
 * rcu_dereference() - read a published pointer: a rcu_ptr, a std::atomic one, or a plain one
 *
 * As anyrcu_dereference(). The parentheses prevent the expansion of liburcu's macro of this name.
 *
 * Context: any, in a region.
 */
template <class T> T *(rcu_dereference)(const rcu_ptr<T> &p) noexcept
{
	return p.load();
}

template <class T> T *(rcu_dereference)(const std::atomic<T *> &p) noexcept
{
	return anyrcu_dereference(p);
}

template <class T> T *(rcu_dereference)(T *const &p) noexcept
{
	return anyrcu_dereference(p);
}

} // namespace anyrcu

#endif
