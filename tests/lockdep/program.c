/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Programs that lock rightly and wrongly, one for each name that it is called with. None really
 * deadlocks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER,
		       c = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;

static void check(int ok, const char *what)
{
	if (!ok) {
		printf("wrong: %s\n", what);
		exit(99);
	}
}
#define CHECK(x) check((x), #x)

static void *in_thread(void *(*f)(void *), void *arg)
{
	pthread_t t;
	void *result;

	CHECK(pthread_create(&t, NULL, f, arg) == 0);
	CHECK(pthread_join(t, &result) == 0);
	return result;
}

static __attribute__((noinline)) void lock_in_order(pthread_mutex_t *first, pthread_mutex_t *second)
{
	pthread_mutex_lock(first);
	pthread_mutex_lock(second);
	pthread_mutex_unlock(second);
	pthread_mutex_unlock(first);
}

static void *a_then_b(void *arg)
{
	lock_in_order(&a, &b);
	return arg;
}

static void *b_then_a(void *arg)
{
	lock_in_order(&b, &a);
	return arg;
}

/* ---- wrong ---- */

static void abba(void)
{
	in_thread(a_then_b, NULL);
	in_thread(b_then_a, NULL);
}

static void abc(void)
{
	lock_in_order(&a, &b);
	lock_in_order(&b, &c);
	lock_in_order(&c, &a);
}

static void abba_heap(void)
{
	pthread_mutex_t *x = malloc(sizeof(*x)), *y = malloc(sizeof(*y));

	pthread_mutex_init(x, NULL);
	pthread_mutex_init(y, NULL);
	lock_in_order(x, y);
	lock_in_order(y, x);
	pthread_mutex_destroy(x);
	pthread_mutex_destroy(y);
	free(x);
	free(y);
}

static void abba_c11(void)
{
	mtx_t x, y;

	mtx_init(&x, mtx_plain);
	mtx_init(&y, mtx_plain);
	mtx_lock(&x);
	mtx_lock(&y);
	mtx_unlock(&y);
	mtx_unlock(&x);
	mtx_lock(&y);
	mtx_lock(&x);
	mtx_unlock(&x);
	mtx_unlock(&y);
	mtx_destroy(&x);
	mtx_destroy(&y);
}

/* The wait takes the mutex again with b held, which others take after it. */
static void cond_order(void)
{
	struct timespec past = { 0 };

	pthread_mutex_lock(&a);
	pthread_mutex_lock(&b);
	pthread_cond_timedwait(&cond, &a, &past);
	pthread_mutex_unlock(&b);
	pthread_mutex_unlock(&a);
}

static void rwlock_order(void)
{
	pthread_rwlock_rdlock(&rw);
	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
	pthread_rwlock_unlock(&rw);
	pthread_mutex_lock(&a);
	pthread_rwlock_wrlock(&rw);
	pthread_rwlock_unlock(&rw);
	pthread_mutex_unlock(&a);
}

static void take_a(int sig)
{
	int saved = errno;

	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
	errno = saved;
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
}

/* As SBCL's runtime calls them: what the validator says of these semaphores is false there. */
static sem_t stopped;

__attribute__((noinline)) static void os_sem_init(sem_t *s)
{
	sem_init(s, 0, 1);
}

__attribute__((noinline)) static void os_sem_wait(int sig)
{
	int saved = errno;

	sem_wait(&stopped);
	sem_post(&stopped);
	errno = saved;
}

static void known_false(void)
{
	os_sem_init(&stopped);
	handle(os_sem_wait, 0);
	os_sem_wait(0);
	raise(SIGUSR1);
}

static void signal_open(void)
{
	handle(take_a, 0);
	raise(SIGUSR1);
	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
}

static void signal_chain(void)
{
	sigset_t set;

	handle(take_a, 0);
	raise(SIGUSR1);
	pthread_mutex_lock(&b);
	pthread_mutex_unlock(&b);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	lock_in_order(&a, &b);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *exit_holding(void *arg)
{
	pthread_mutex_lock(&a);
	return arg;
}

static void held_at_exit(void)
{
	in_thread(exit_holding, NULL);
}

static void *cancelled_holding(void *arg)
{
	pthread_mutex_lock(&a);
	for (;;)
		pause();
	return arg;
}

static void held_at_cancel(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, cancelled_holding, NULL) == 0);
	pthread_cancel(t);
	pthread_join(t, NULL);
}

static void freed(void)
{
	struct {
		int before;
		pthread_mutex_t m;
	} *p = malloc(sizeof(*p));

	pthread_mutex_init(&p->m, NULL);
	pthread_mutex_lock(&p->m);
	free(p);
}

static void unmapped(void)
{
	pthread_mutex_t *m =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	pthread_mutex_init(m, NULL);
	pthread_mutex_lock(m);
	munmap(m, 4096);
}

static void destroyed(void)
{
	pthread_mutex_t m;

	pthread_mutex_init(&m, NULL);
	pthread_mutex_lock(&m);
	pthread_mutex_destroy(&m);
}

static void reinitialised(void)
{
	pthread_mutex_t m;

	pthread_mutex_init(&m, NULL);
	pthread_mutex_lock(&m);
	pthread_mutex_init(&m, NULL);
}

static void unlock_unlocked(void)
{
	pthread_mutex_unlock(&a);
}

static void sleep_in_spin(void)
{
	pthread_spinlock_t spin;
	sem_t sem;

	pthread_spin_init(&spin, 0);
	sem_init(&sem, 0, 1);
	pthread_spin_lock(&spin);
	sem_wait(&sem);
	pthread_spin_unlock(&spin);
}

static void mutex_in_spin(void)
{
	pthread_spinlock_t spin;

	pthread_spin_init(&spin, 0);
	pthread_spin_lock(&spin);
	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
	pthread_spin_unlock(&spin);
}

static void in_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		abba();
		_exit(5);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
}

/* One finding, made three times. */
static void in_children(void)
{
	for (int i = 0; i < 3; i++)
		in_child();
}

static void in_daemon(void)
{
	int ready[2];
	char byte;

	CHECK(pipe(ready) == 0);
	if (fork() == 0) {
		int fd = dup2(ready[1], 900);

		setsid();
		for (int i = 0; i < 900; i++)
			close(i);
		CHECK(chdir("/") == 0);
		usleep(300000);
		abba();
		close(fd);
		_exit(0);
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 0);
}

static void other_user(void)
{
	CHECK(chroot("/proc") == 0);
	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	abba();
}

static void killed(void)
{
	abba();
	raise(SIGKILL);
}

/* ---- right ---- */

static void mutex_kinds(void)
{
	static const int kinds[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
				     PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };
	pthread_mutexattr_t attr;
	struct timespec past = { 0 };
	pthread_mutex_t m;

	for (int i = 0; i < 16; i++) {
		int kind = kinds[i % 4];

		pthread_mutexattr_init(&attr);
		pthread_mutexattr_settype(&attr, kind);
		if (i & 4)
			pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
		if (i & 8)
			pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
		CHECK(pthread_mutex_init(&m, &attr) == 0);
		CHECK(pthread_mutex_lock(&m) == 0);
		if (kind == PTHREAD_MUTEX_RECURSIVE) {
			CHECK(pthread_mutex_lock(&m) == 0);
			CHECK(pthread_mutex_trylock(&m) == 0);
			CHECK(pthread_mutex_timedlock(&m, &past) == 0);
			CHECK(pthread_mutex_unlock(&m) == 0 && pthread_mutex_unlock(&m) == 0);
			CHECK(pthread_mutex_unlock(&m) == 0);
		} else if (kind == PTHREAD_MUTEX_ERRORCHECK) {
			CHECK(pthread_mutex_lock(&m) == EDEADLK);
			CHECK(pthread_mutex_trylock(&m) != 0);
		} else {
			CHECK(pthread_mutex_trylock(&m) == EBUSY);
			if (!(i & 12))
				CHECK(pthread_mutex_timedlock(&m, &past) == ETIMEDOUT);
		}
		CHECK(pthread_mutex_unlock(&m) == 0);
		if (!(i & 8)) {
			CHECK(pthread_mutex_clocklock(&m, CLOCK_MONOTONIC, &past) == 0);
			CHECK(pthread_mutex_unlock(&m) == 0);
		}
		CHECK(pthread_mutex_destroy(&m) == 0);
	}
}

static void *lock_robust(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

static void robust(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t m;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &attr);
	in_thread(lock_robust, &m);
	CHECK(pthread_mutex_lock(&m) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&m) == 0);
	CHECK(pthread_mutex_unlock(&m) == 0);
	in_thread(lock_robust, &m);
	CHECK(pthread_mutex_trylock(&m) == EOWNERDEAD);
	CHECK(pthread_mutex_unlock(&m) == 0);
	CHECK(pthread_mutex_lock(&m) == ENOTRECOVERABLE);
}

static void rwlock_recursion(void)
{
	for (int i = 0; i < 2; i++) {
		CHECK(pthread_rwlock_rdlock(&rw) == 0);
		CHECK(pthread_rwlock_rdlock(&rw) == 0);
		CHECK(pthread_rwlock_tryrdlock(&rw) == 0);
		CHECK(pthread_rwlock_trywrlock(&rw) == EBUSY);
		CHECK(pthread_rwlock_unlock(&rw) == 0);
		CHECK(pthread_rwlock_unlock(&rw) == 0);
		CHECK(pthread_rwlock_unlock(&rw) == 0);
		CHECK(pthread_rwlock_wrlock(&rw) == 0);
		CHECK(pthread_rwlock_tryrdlock(&rw) == EBUSY);
		CHECK(pthread_rwlock_unlock(&rw) == 0);
	}
}

static void try_order(void)
{
	pthread_mutex_lock(&a);
	pthread_mutex_lock(&b);
	pthread_mutex_unlock(&b);
	pthread_mutex_unlock(&a);
	pthread_mutex_lock(&b);
	CHECK(pthread_mutex_trylock(&a) == 0);
	pthread_mutex_unlock(&a);
	pthread_mutex_unlock(&b);
}

/* Many of one class, by address in one order. */
static void ordered_instances(void)
{
	pthread_mutex_t m[16];

	for (int i = 0; i < 16; i++)
		pthread_mutex_init(&m[i], NULL);
	for (int i = 0; i < 16; i++)
		for (int j = i + 1; j < 16; j++)
			lock_in_order(&m[i], &m[j]);
	for (int i = 0; i < 16; i++)
		pthread_mutex_destroy(&m[i]);
}

/* What lies where another lay is another. */
static void reused_memory(void)
{
	for (int i = 0; i < 10; i++) {
		pthread_mutex_t *x = malloc(sizeof(*x));

		*x = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
		if (i % 2)
			lock_in_order(x, &a);
		else
			lock_in_order(&a, x);
		free(x);
	}
}

static void signal_blocked(void)
{
	sigset_t set, old;

	handle(take_a, 0);
	raise(SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_lock(&b);
	pthread_mutex_unlock(&b);
}

static sigjmp_buf back;

static void jump_back(int sig)
{
	siglongjmp(back, 1);
}

static void nop(int sig)
{
}

/* After the jump it is no handler that locks. */
static void jump_with(int flags)
{
	handle(jump_back, flags);
	if (sigsetjmp(back, 1) == 0)
		raise(SIGUSR1);
	pthread_mutex_lock(&b);
	pthread_mutex_unlock(&b);
}

static void signal_jump(void)
{
	char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };

	jump_with(0);
	CHECK(sigaltstack(&alt, NULL) == 0);
	jump_with(SA_ONSTACK);
	handle(nop, 0);
	raise(SIGUSR1);
}

static int got_sig;
static void *got_value, *got_stack;

static void with_info(int sig, siginfo_t *info, void *context)
{
	got_sig = info->si_signo;
	got_value = info->si_value.sival_ptr;
	got_stack = __builtin_frame_address(0);
	CHECK(context != NULL);
}

/* siginterrupt(), against the use of which the compiler warns */
static int (*interrupts)(int, int);

/* All that a program can see of a handler is as it was given. */
static void signal_state(void)
{
	static char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction act = { .sa_sigaction = with_info,
				 .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK },
			 old;
	sigset_t set;

	interrupts = (int (*)(int, int))dlsym(RTLD_DEFAULT, "siginterrupt");
	CHECK(signal(SIGUSR1, take_a) == SIG_DFL);
	CHECK(signal(SIGUSR1, take_a) == take_a);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == take_a);
	CHECK((old.sa_flags & (SA_SIGINFO | SA_RESTART)) == SA_RESTART &&
	      sigismember(&old.sa_mask, SIGUSR1));
	interrupts(SIGUSR1, 1);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == take_a &&
	      !(old.sa_flags & SA_RESTART));
	signal(SIGUSR1, take_a);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && !(old.sa_flags & SA_RESTART));
	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGUSR2);
	CHECK(sigaltstack(&alt, NULL) == 0);
	CHECK(sigaction(SIGUSR1, &act, &old) == 0 && old.sa_handler == take_a);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == with_info &&
	      old.sa_flags & SA_SIGINFO);
	CHECK(sigismember(&old.sa_mask, SIGUSR2) && !sigismember(&old.sa_mask, SIGUSR1));
	CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_ptr = &act }) == 0);
	CHECK(got_sig == SIGUSR1 && got_value == &act);
	CHECK((char *)got_stack >= stack && (char *)got_stack < stack + sizeof(stack));
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGKILL, &act, NULL) == -1 && errno == EINVAL);
	CHECK(sigaction(1000, &act, NULL) == -1 && errno == EINVAL);
	CHECK(signal(1000, take_a) == SIG_ERR);
	CHECK(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL) == 0);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old.sa_mask) == 0 &&
	      !sigismember(&old.sa_mask, SIGUSR1));
	CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGUSR1));
	CHECK(pthread_sigmask(77, &set, NULL) == EINVAL);
}

static void *waiter(void *arg)
{
	pthread_mutex_lock(&a);
	while (!*(int *)arg)
		pthread_cond_wait(&cond, &a);
	pthread_mutex_unlock(&a);
	return NULL;
}

static void unlock(void *m)
{
	pthread_mutex_unlock(m);
}

static void *cancelled_waiter(void *arg)
{
	pthread_mutex_lock(&a);
	pthread_cleanup_push(unlock, &a);
	*(int *)arg = 1;
	pthread_cond_signal(&cond);
	for (;;)
		pthread_cond_wait(&cond, &a);
	pthread_cleanup_pop(1);
	return NULL;
}

static pthread_key_t key;

static void *unlock_late(void *arg)
{
	pthread_mutex_lock(&b);
	pthread_setspecific(key, &b);
	return arg;
}

static void waits(void)
{
	int flag = 0;
	pthread_t t;

	pthread_create(&t, NULL, waiter, &flag);
	pthread_mutex_lock(&a);
	flag = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&a);
	pthread_join(t, NULL);
	flag = 0;
	pthread_create(&t, NULL, cancelled_waiter, &flag);
	pthread_mutex_lock(&a);
	while (!flag)
		pthread_cond_wait(&cond, &a);
	pthread_mutex_unlock(&a);
	pthread_cancel(t);
	pthread_join(t, NULL);
	CHECK(pthread_mutex_trylock(&a) == 0);
	pthread_mutex_unlock(&a);
	/* Destructors run before the thread is over. */
	pthread_key_create(&key, unlock);
	in_thread(unlock_late, NULL);
}

static void before(void)
{
	pthread_mutex_lock(&a);
	pthread_mutex_lock(&b);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&b);
	pthread_mutex_unlock(&a);
}

static void in_forked(void)
{
	pthread_mutex_init(&b, NULL);
	pthread_mutex_unlock(&a);
}

/* One lock is kept through the fork, another made anew in the child. */
static void fork_handlers(void)
{
	int status;
	pid_t pid;

	pthread_atfork(before, in_parent, in_forked);
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (pid == 0) {
			in_thread(a_then_b, NULL);
			exit(7);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	}
	pid = vfork();
	if (pid == 0)
		_exit(3);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

static void keeps_errno(void)
{
	errno = 12345;
	lock_in_order(&a, &b);
	free(malloc(100));
	free(NULL);
	handle(nop, 0);
	raise(SIGUSR1);
	pthread_sigmask(SIG_BLOCK, NULL, NULL);
	pthread_sigmask(SIG_BLOCK, &(sigset_t){ 0 }, NULL);
	CHECK(errno == 12345);
}

/* What the kernel refuses to read, nobody reads before it. */
static void wrong_addresses(void)
{
	char *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int counter = eventfd(0, 0);

	CHECK(gone != MAP_FAILED && counter >= 0);
	munmap(gone, 4096);
	CHECK(syscall(SYS_futex, gone, FUTEX_WAIT, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_futex, gone, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) == -1);
	CHECK(write(counter, gone, 8) == -1 && errno == EFAULT);
	CHECK(fcntl(counter, F_OFD_SETLK, gone) == -1 && errno == EFAULT);
	CHECK(semop(0, (struct sembuf *)gone, 1) == -1 && errno == EFAULT);
}

/* A list of robust futexes that never comes back to its head. */
static void *ends_with_own_list(void *arg)
{
	static struct robust_list loop = { &loop };
	static struct robust_list_head head = { .list = { &loop } };

	CHECK(syscall(SYS_set_robust_list, &head, sizeof(head)) == 0);
	return arg;
}

static void own_robust_list(void)
{
	in_thread(ends_with_own_list, NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} programs[] = {
#define PROGRAM(p)    \
	{             \
#p, p \
	}
	PROGRAM(abba),
	PROGRAM(abc),
	PROGRAM(abba_heap),
	PROGRAM(abba_c11),
	PROGRAM(cond_order),
	PROGRAM(rwlock_order),
	PROGRAM(signal_open),
	PROGRAM(known_false),
	PROGRAM(signal_chain),
	PROGRAM(held_at_exit),
	PROGRAM(held_at_cancel),
	PROGRAM(freed),
	PROGRAM(unmapped),
	PROGRAM(destroyed),
	PROGRAM(reinitialised),
	PROGRAM(unlock_unlocked),
	PROGRAM(sleep_in_spin),
	PROGRAM(mutex_in_spin),
	PROGRAM(in_child),
	PROGRAM(in_children),
	PROGRAM(in_daemon),
	PROGRAM(other_user),
	PROGRAM(killed),
	PROGRAM(mutex_kinds),
	PROGRAM(robust),
	PROGRAM(rwlock_recursion),
	PROGRAM(try_order),
	PROGRAM(ordered_instances),
	PROGRAM(reused_memory),
	PROGRAM(signal_blocked),
	PROGRAM(signal_jump),
	PROGRAM(signal_state),
	PROGRAM(waits),
	PROGRAM(fork_handlers),
	PROGRAM(keeps_errno),
	PROGRAM(wrong_addresses),
	PROGRAM(own_robust_list),
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		if (argc == 2 && !strcmp(argv[1], programs[i].name)) {
			programs[i].run();
			printf("done\n");
			return 0;
		}
	}
	return 98;
}
