/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Signal handlers. */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/sys.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

_Static_assert(sizeof(siginfo_t) == PORT_SIGINFO, "what is copied of a signal");
_Static_assert(NSIG <= PORT_NSIG, "room for each signal");

void (*port_signal_hook)(int sig, void *info, void *context, uint64_t before);

static void on_signal(int sig, siginfo_t *info, void *context)
{
	uint64_t before;
	int saved = errno;

	memcpy(&before, &((ucontext_t *)context)->uc_sigmask, sizeof(before));
	port_signal_hook(sig, info, context, before);
	errno = saved;
}

static struct {
	bool taken;
	struct sigaction former;
} signals[PORT_NSIG];

bool port_signal_take(int sig, const void *mask)
{
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK },
			 former;
	int saved = errno;
	bool done;

	memcpy(&sa.sa_mask, mask, sizeof(sa.sa_mask));
	done = sigaction(sig, &sa, &former) == 0;
	errno = saved;
	if (done && !signals[sig].taken) {
		signals[sig].taken = true;
		signals[sig].former = former;
	}
	return done;
}

void port_signal_leave(int sig)
{
	int saved = errno;

	if (signals[sig].taken)
		sigaction(sig, &signals[sig].former, NULL);
	signals[sig].taken = false;
	errno = saved;
}

bool port_signal_taken(int sig)
{
	struct sigaction now;
	int saved = errno, err = sigaction(sig, NULL, &now);

	errno = saved;
	return !err && now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_signal;
}

bool port_signal_again(int sig, const void *info)
{
	return !sys(SYS_rt_tgsigqueueinfo, getpid(), port_tid(), sig, info);
}
