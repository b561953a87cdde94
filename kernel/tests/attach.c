/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * usage: attach
 *
 * A process of the machine that scripts/kernel.sh boots. For a moment, each of these tracepoints
 * runs a BPF program that calls anyrcu_test_bpf_defer(): in a task, where the scheduler holds a raw
 * spinlock with interrupts off, and in a hard interrupt.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KFUNC "anyrcu_test_bpf_defer"
static const char *const tracepoints[] = { "sys_enter", "sched_switch", "hrtimer_expire_entry" };

/* Types and names of the kernel or of a module; a module's are numbered after the kernel's. */
struct types {
	char *data;
	const struct btf_header *header;
	uint32_t first, first_name;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static char *read_all(const char *path)
{
	size_t n = 0, room = 1 << 24;
	char *data = malloc(room);
	int fd = open(path, O_RDONLY);
	ssize_t got;

	if (!data || fd < 0)
		die(path);
	while ((got = read(fd, data + n, room - n)) > 0)
		n += got;
	close(fd);
	return data;
}

/* How much follows the type: see Documentation/bpf/btf.rst of the kernel. */
static size_t size_of(const struct btf_type *t)
{
	size_t n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return 12 * (BTF_INFO_KIND(t->info) == BTF_KIND_ARRAY ? 1 : n);
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return 8 * n;
	default:
		return 0;
	}
}

/* The number of a type; if there is none of this name, the number behind the last one. */
static uint32_t find(const struct types *b, uint32_t kind, const char *name)
{
	const char *at = b->data + b->header->hdr_len + b->header->type_off;
	const char *end = at + b->header->type_len;
	const char *names = b->data + b->header->hdr_len + b->header->str_off;
	uint32_t number = b->first;

	for (; at < end; number++) {
		const struct btf_type *t = (const void *)at;

		if (BTF_INFO_KIND(t->info) == kind && t->name_off >= b->first_name &&
		    !strcmp(names + t->name_off - b->first_name, name))
			break;
		at += sizeof(*t) + size_of(t);
	}
	return number;
}

static void types_read(struct types *b, const char *path, const struct types *base)
{
	b->data = read_all(path);
	b->header = (const void *)b->data;
	b->first = base ? find(base, BTF_KIND_UNKN, "") : 1;
	b->first_name = base ? base->header->str_len : 0;
}

/* A descriptor of the types of the module. */
static int types_of_module(const char *name)
{
	for (uint32_t id = 0;;) {
		char is[64] = "";
		struct bpf_btf_info info = { .name = (uintptr_t)is, .name_len = sizeof(is) };
		union bpf_attr next = { .start_id = id }, open = { 0 }, ask = { 0 };
		int fd;

		if (bpf(BPF_BTF_GET_NEXT_ID, &next))
			die(name);
		open.btf_id = id = next.next_id;
		fd = bpf(BPF_BTF_GET_FD_BY_ID, &open);
		if (fd < 0)
			continue;
		ask.info.bpf_fd = fd;
		ask.info.info_len = sizeof(info);
		ask.info.info = (uintptr_t)&info;
		if (!bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) && !strcmp(is, name))
			return fd;
		close(fd);
	}
}

static int attach(const char *tracepoint, uint32_t type, uint32_t function, int module)
{
	struct bpf_insn code[] = {
		{ .code = BPF_JMP | BPF_CALL,
		  .src_reg = BPF_PSEUDO_KFUNC_CALL,
		  .off = 1,
		  .imm = function },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fds[] = { -1, module };
	static char log[4096];
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_RAW_TP,
		.attach_btf_id = type,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(*code),
		.license = (uintptr_t) "GPL",
		.fd_array = (uintptr_t)fds,
		.log_buf = (uintptr_t)log,
		.log_size = sizeof(log),
		.log_level = 1,
	};
	union bpf_attr open = { 0 };
	int fd = bpf(BPF_PROG_LOAD, &load);

	if (fd < 0) {
		fputs(log, stderr);
		die(tracepoint);
	}
	open.raw_tracepoint.prog_fd = fd;
	fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &open);
	if (fd < 0)
		die(tracepoint);
	return fd;
}

int main(void)
{
	struct types kernel, module;
	uint32_t function;
	int fd;

	types_read(&kernel, "/sys/kernel/btf/vmlinux", NULL);
	types_read(&module, "/sys/kernel/btf/anyrcu_test", &kernel);
	function = find(&module, BTF_KIND_FUNC, KFUNC);
	fd = types_of_module("anyrcu_test");
	for (size_t i = 0; i < sizeof(tracepoints) / sizeof(*tracepoints); i++) {
		char name[64];
		uint32_t type;
		int link;

		snprintf(name, sizeof(name), "btf_trace_%s", tracepoints[i]);
		type = find(&kernel, BTF_KIND_TYPEDEF, name);
		link = attach(tracepoints[i], type, function, fd);
		for (int n = 0; n < 200; n++)
			usleep(1000);
		close(link);
	}
	return 0;
}
