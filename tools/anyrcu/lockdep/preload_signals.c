/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Signal handlers and masks. The kernel is given one handler for all signals, which tells the
 * validator of its beginning and its end, and calls the program's in between. The program sees its
 * own. The mask of a thread is told when it changes, so that no lock has to ask for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "lockdep/preload.h"

#define KERNEL_SIGNALS 64

uint64_t signal_mask(void)
{
	uint64_t mask = 0;

	/* Cannot fail, so leaves errno alone. */
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	return mask;
}

/* The kernel's part of libc's larger set. */
static uint64_t mask_of(const sigset_t *set)
{
	uint64_t mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

/* ---- handlers ---- */

typedef void (*handler_t)(int sig, siginfo_t *info, void *context);

/*
 * The program's handlers. Only ever replaced by other handlers, as one that is no longer installed
 * may be about to be called.
 */
static handler_t handlers[KERNEL_SIGNALS + 1];
static bool wants_info[KERNEL_SIGNALS + 1]; /* it gave SA_SIGINFO, which we always do */

uint64_t handled;

#define BIT(sig) (UINT64_C(1) << ((sig)-1))
#define FAULTS                                                                                 \
	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGSYS) | \
	 BIT(SIGABRT))

/*
 * A fault comes from the instruction where it comes: its handler is called by the program, not in
 * between.
 */
static bool is_fault(int sig, const siginfo_t *info)
{
	return (FAULTS & BIT(sig)) && info->si_code > 0;
}

/* What the validator needs of the stack where a report is made, without the unwinder. */
#define VALIDATOR_NEEDS 3072

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	struct handler_frame frame = { .outer = me.handlers,
				       .stack = &uc->uc_stack,
				       .watch = me.watch };
	handler_t handler = load_acquire(&handlers[sig]);

	if ((!watched() && me.watch != BUSY) || is_fault(sig, info)) {
		handler(sig, info, context);
		return;
	}
	frame.watch = me.watch;
	me.handlers = &frame;
	if (!stack_suffices(VALIDATOR_NEEDS)) {
		not_checked();
		frame.unchecked = true;
		me.watch = BUSY;
		handler(sig, info, context);
		me.watch = frame.watch;
		me.handlers = frame.outer;
		return;
	}
	/*
	 * What the signal interrupted may have had another mask than the thread will return to:
	 * sigsuspend().
	 */
	lockdep_engine.signal_enter(sig, signal_mask(), true);
	handler(sig, info, context);
	me.handlers = frame.outer;
	/* The handler may have changed what it returns to. */
	lockdep_engine.signal_exit(mask_of(&uc->uc_sigmask));
}

/*
 * Between the change of the table and that in the kernel nobody else may change either. Signals are
 * kept out, as a handler may call this too.
 */
static uint32_t installing;

static uint64_t install_begin(void)
{
	uint64_t all = UINT64_MAX, former = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &former, sizeof(all));
	while (xchg(&installing, 1))
		port_relax();
	return former;
}

static void install_end(uint64_t former)
{
	store_release(&installing, 0);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, sizeof(former));
}

static bool is_handler(const struct sigaction *act)
{
	return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction ours, was;
	handler_t former;
	bool former_info, changed;
	uint64_t mask;
	int result;

	if (!watched() || sig < 1 || sig > KERNEL_SIGNALS)
		return real.sigaction(sig, act, old);
	mask = install_begin();
	former = handlers[sig];
	former_info = wants_info[sig];
	if (act && is_handler(act)) {
		ours = *act;
		store_release(&handlers[sig], ours.sa_sigaction);
		wants_info[sig] = ours.sa_flags & SA_SIGINFO;
		/* A handler that wants no information does not look at its other arguments. */
		ours.sa_sigaction = on_signal;
		ours.sa_flags |= SA_SIGINFO;
		act = &ours;
		__atomic_fetch_or(&handled, BIT(sig) & ~FAULTS, __ATOMIC_RELAXED);
	}
	result = real.sigaction(sig, act, &was);
	if (result != 0) {
		store_release(&handlers[sig], former);
		wants_info[sig] = former_info;
	} else if (act && act != &ours) {
		__atomic_fetch_and(&handled, ~BIT(sig), __ATOMIC_RELAXED);
	}
	changed = result == 0 && act == &ours && former && former != load(&handlers[sig]);
	install_end(mask);
	if (changed) {
		lockdep_handlers_changed(BIT(sig));
		__atomic_fetch_and(&allocator.in, ~BIT(sig), __ATOMIC_RELAXED);
	}
	if (result != 0 || !old)
		return result;
	if (was.sa_sigaction == on_signal) {
		was.sa_sigaction = former;
		was.sa_flags &= ~(former_info ? 0 : SA_SIGINFO);
	}
	*old = was;
	return 0;
}

/* Those that siginterrupt() wants to interrupt system calls. */
static uint64_t interrupting;

EXPORT int siginterrupt(int sig, int interrupt)
{
	int result;

	watched();
	result = real.siginterrupt(sig, interrupt);
	if (result == 0 && interrupt)
		__atomic_fetch_or(&interrupting, UINT64_C(1) << (sig - 1), __ATOMIC_RELAXED);
	else if (result == 0)
		__atomic_fetch_and(&interrupting, ~(UINT64_C(1) << (sig - 1)), __ATOMIC_RELAXED);
	return result;
}

static sighandler_t install(int sig, struct sigaction *act)
{
	struct sigaction old;

	if (act->sa_handler == SIG_ERR || sig < 1 || sig > KERNEL_SIGNALS) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return sigaction(sig, act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	struct sigaction act = { .sa_handler = handler };

	sigemptyset(&act.sa_mask);
	if (sig >= 1 && sig <= KERNEL_SIGNALS) {
		sigaddset(&act.sa_mask, sig);
		if (!(load(&interrupting) >> (sig - 1) & 1))
			act.sa_flags = SA_RESTART;
	}
	return install(sig, &act);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler) __attribute__((alias("signal")));
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
	__attribute__((alias("signal"), nothrow, leaf));

/* signal() as a program gets it that asks for standards older than POSIX's. */
EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	struct sigaction act = { .sa_handler = handler,
				 .sa_flags = SA_RESETHAND | SA_NODEFER | SA_INTERRUPT };

	sigemptyset(&act.sa_mask);
	return install(sig, &act);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
	__attribute__((alias("__sysv_signal")));

/* ---- masks ---- */

static uint64_t changed_mask(uint64_t mask, int how, uint64_t set)
{
	switch (how) {
	case SIG_BLOCK:
		return mask | set;
	case SIG_UNBLOCK:
		return mask & ~set;
	default:
		return set;
	}
}

/*
 * Told after it is so. A handler that runs in between because its signal is open now tells at its
 * end what the mask is; so it is known to that, and again to us.
 */
#define change_mask(change, how, set, old)                                                       \
	({                                                                                       \
		bool told_ = watched();                                                          \
		uint64_t new_ = (set) ? mask_of(set) : 0;                                        \
		bool changes_ = (set) != NULL;                                                   \
		sigset_t was_;                                                                   \
		int result_ = change(how, set, &was_);                                           \
		if (result_ == 0 && told_ && changes_)                                           \
			lockdep_engine.signals_blocked(changed_mask(mask_of(&was_), how, new_)); \
		if (result_ == 0 && (old))                                                       \
			*(old) = was_;                                                           \
		result_;                                                                         \
	})

EXPORT int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	return change_mask(real.pthread_sigmask, how, set, old);
}

EXPORT int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	return change_mask(real.sigprocmask, how, set, old);
}

/* System V's, which libc does with its own sigprocmask(). */
EXPORT int sighold(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	return sigaddset(&set, sig) != 0 ? -1 : sigprocmask(SIG_BLOCK, &set, NULL);
}

EXPORT int sigrelse(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	return sigaddset(&set, sig) != 0 ? -1 : sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Returns SIG_HOLD where the signal was blocked. */
EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	struct sigaction act = { .sa_handler = handler }, old;
	bool hold = handler == SIG_HOLD;
	sigset_t set, was;

	sigemptyset(&act.sa_mask);
	sigemptyset(&set);
	if (sigaddset(&set, sig) != 0 || sigaction(sig, hold ? NULL : &act, &old) != 0 ||
	    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, &was) != 0)
		return SIG_ERR;
	return sigismember(&was, sig) ? SIG_HOLD : old.sa_handler;
}

/* The mask while it waits is another; a handler that ends the wait tells what it is then. */
EXPORT int sigsuspend(const sigset_t *set)
{
	int result, error;

	if (!watched())
		return real.sigsuspend(set);
	if (!me.handlers) /* in which it is allowed */
		lockdep_engine.might_sleep("sigsuspend", CALLER);
	lockdep_engine.signals_blocked(mask_of(set));
	result = real.sigsuspend(set);
	error = errno;
	lockdep_engine.signals_blocked(signal_mask());
	errno = error;
	return result;
}

/* Waiting with another mask. */
#define wait_masked(what, mask, call)                                   \
	({                                                              \
		const sigset_t *mask_ = (mask);                         \
		bool told_ = watched();                                 \
		__typeof__(call) result_;                               \
		int error_;                                             \
		if (told_ && !me.handlers)                              \
			lockdep_engine.might_sleep(what, CALLER);       \
		if (told_ && mask_)                                     \
			lockdep_engine.signals_blocked(mask_of(mask_)); \
		result_ = (call);                                       \
		error_ = errno;                                         \
		if (told_ && mask_)                                     \
			lockdep_engine.signals_blocked(signal_mask());  \
		errno = error_;                                         \
		result_;                                                \
	})

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	return wait_masked("ppoll", mask, polled(real.ppoll(fds, n, timeout, mask), fds, n));
}

EXPORT int pselect(int n, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except,
		   const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
	return wait_masked("pselect", mask,
			   selected(real.pselect(n, in, out, except, timeout, mask), in, n));
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
	return wait_masked("epoll_pwait", mask,
			   epolled(real.epoll_pwait(fd, events, n, timeout, mask)));
}

/* ---- jumps out of handlers ---- */

#if defined(__x86_64__)
enum { SAVED_STACK = 6 };
#define stack_pointer(sp) __asm__ volatile("mov %%rsp, %0" : "=r"(sp))
#define unmask(word) ((word) >> 17 | (word) << 47)
#elif defined(__aarch64__)
enum { SAVED_STACK = 13 };
#define stack_pointer(sp) __asm__ volatile("mov %0, sp" : "=r"(sp))
#define unmask(word) (word)
#endif

/*
 * Where the stack of a jump's destination is. libc hides it with a secret, which a buffer of our
 * own shows, as where that leads we know.
 */
static noinline uintptr_t destination(const struct __jmp_buf_tag *env)
{
	jmp_buf here;
	uintptr_t sp, ours, theirs;

	stack_pointer(sp);
	if (_setjmp(here))
		return 0;
	ours = unmask((uintptr_t)here[0].__jmpbuf[SAVED_STACK]);
	theirs = unmask((uintptr_t)env->__jmpbuf[SAVED_STACK]);
	return theirs ^ ours ^ sp;
}

/*
 * Does a jump to a stack at @to leave this handler's frame? The stack grows down; the alternative
 * one is left when @to is outside.
 */
static bool leaves(const struct handler_frame *f, uintptr_t to)
{
	uintptr_t at = (uintptr_t)f, low = (uintptr_t)f->stack->ss_sp,
		  high = low + f->stack->ss_size;

	if (at >= low && at < high && (to < low || to >= high))
		return true;
	return to > at;
}

static void jump(const struct __jmp_buf_tag *env)
{
	uintptr_t to;

	if (!me.handlers && !watched())
		return;
	if (me.handlers) {
		to = destination(env);
		while (me.handlers && leaves(me.handlers, to)) {
			bool unchecked = me.handlers->unchecked;

			me.watch = me.handlers->watch;
			me.handlers = me.handlers->outer;
			if (!unchecked)
				lockdep_signal_jump(signal_mask());
		}
	}
	if (me.watch == WATCHED && env->__mask_was_saved)
		lockdep_engine.signals_blocked(mask_of((const sigset_t *)&env->__saved_mask));
}

EXPORT void siglongjmp(sigjmp_buf env, int value)
{
	jump(env);
	real.siglongjmp(env, value);
}

EXPORT void longjmp(jmp_buf env, int value) __attribute__((alias("siglongjmp"), noreturn));
EXPORT void _longjmp(jmp_buf env, int value) __attribute__((alias("siglongjmp"), noreturn));

/* As they are called by what was built with _FORTIFY_SOURCE. */
EXPORT _Noreturn void __longjmp_chk(jmp_buf env, int value)
{
	jump(env);
	real.longjmp_chk(env, value);
	__builtin_unreachable();
}

EXPORT int setcontext(const ucontext_t *to)
{
	if (watched())
		lockdep_engine.signals_blocked(mask_of(&to->uc_sigmask));
	return real.setcontext(to);
}

EXPORT int swapcontext(ucontext_t *restrict from, const ucontext_t *restrict to)
{
	if (watched())
		lockdep_engine.signals_blocked(mask_of(&to->uc_sigmask));
	return real.swapcontext(from, to);
}
