# `make demo` and `make test` do all of their own set-up: a virtual environment, the installation, the build.

PYTHON ?= python3
VENV ?= .venv
# The CPU build of torch. For a GPU, with torch from pip's own index: make TORCH=torch TORCH_INDEX= TRYON_KERNELS_CUDA=1
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
OUT ?= demo
# CUDA kernels are of no use to it.
TRYON_KERNELS_CUDA ?= 0

BIN := $(VENV)/bin
PIP := TRYON_KERNELS_CUDA=$(TRYON_KERNELS_CUDA) $(BIN)/python -m pip --disable-pip-version-check --quiet
# Bytecode of what is imported is made then; of all, it takes longer than the rest of the installation.
INSTALL := $(PIP) install --no-compile
site_packages = $$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
SOURCES := setup.py pyproject.toml $(wildcard build_support/*.py csrc/*.* csrc/*/*.* csrc/*/*/*.*)

CROSS ?= aarch64-linux-gnu-
SANITIZED := build/sanitized
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZER_LIBRARIES = $(foreach name,asan ubsan,$(shell $(CXX) -print-file-name=lib$(name).so))
# After the build's own options, which they override: at -O3 the compiler would take 2.5 times as long, with all that a
# function calls compiled into it ([[gnu::flatten]]) twice, and with every look at an address in place 1.5 times.
SANITIZING := CXXFLAGS='$(SANITIZERS) -O1 -g1 -Dflatten=unused --param asan-instrumentation-with-call-threshold=0' \
    LDFLAGS='$(SANITIZERS)'

.NOTPARALLEL: # several targets install into the one environment
.PHONY: help demo docs prove test test-tryon test-values test-kernels test-packaging wheel sdist triton cuda cuda-sanitize gpu-check benchmark fuzz \
    large more extras page-runtime isas sanitize sanitize-each threads aarch64 mutants lint style types layout objects \
    check thorough clean

help:
	@echo 'make demo   draw people, train the four stages, dress them: results in $(OUT)/'
	@echo 'make test   run the tests, those of the kernels for the most different instruction sets of this CPU; isas: for all'
	@echo 'make wheel  a wheel for all Linux systems that torch has wheels for: in dist/; sdist: the sources'
	@echo 'make docs   the documentation as a site: build/site/index.html'
	@echo 'make triton     run the GPU kernels under Triton'"'"'s interpreter: no GPU is needed'
	@echo 'make cuda       run the CUDA kernels on the CPU, in several orders of threads; cuda-sanitize: under sanitizers'
	@echo 'make objects    machine code of the GPU kernels for all GPUs and dtypes; make test has Triton'"'"'s for two GPUs'
	@echo 'make gpu-check  on a machine with a GPU, with its own $(PYTHON), torch and nvcc: check values, then time all'
	@echo 'make benchmark  time every operation beside stock torch'
	@echo 'make extras  tests of what needs the packages of optional extras, which it installs'
	@echo 'make page-runtime  with npm, what tryon page needs: in $(PAGE_RUNTIME)/'
	@echo 'make more   tests of what make test has already, in more places, and what takes longer'
	@echo 'make fuzz   4,500 drawn cases against the references; make large: tensors of more than 2^31 elements'
	@echo 'make sanitize  the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer; sanitize-each: values with'
	@echo '               every other instruction set too'
	@echo 'make prove     all of the kernels'"'"' own tests, and note what they passed on, so that CI need not run them'
	@echo 'make threads   the kernels in two threads under ThreadSanitizer'
	@echo 'make mutants   change the code in one place after the other, and see that a test notices; MUTANTS names some'
	@echo 'make aarch64   cross-compile the kernels and check them under qemu-aarch64'
	@echo 'make lint   check formatting, style and types'
	@echo 'make check  lint and test; make thorough: what takes too long for each change, before a release'
	@echo 'make clean  remove the environment and what was built'

demo: $(VENV)/.installed
	$(BIN)/tryon demo --out $(OUT)

# A test process for each core, with one thread: those of several processes would wait for each other, spinning. Tests
# of threads say how many they want.
PYTEST := OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m pytest --numprocesses auto
# Tests of what the kernels compute and touch, for each instruction set; the formulas of other backends are the same for all.
OF_EACH_ISA := $(addprefix tests/kernels/test_,values.py non_finite.py zero_sizes.py bounds.py threads.py \
    random_shapes.py memory.py ops.py::test_only_the_gradients_asked_for_are_made \
    feature_distance.py::test_values_and_gradients_are_the_references \
    feature_distance.py::test_what_is_not_a_number_stays_one_and_has_torchs_derivatives \
    feature_distance.py::test_results_are_the_same_bits_for_any_number_of_threads)
COMPILED_ALONE := -k "not eager and not stock and not reference_is"
KERNEL_ROOMS := $(addprefix tests/,compat cuda tooling triton)
OF_ANY_ISA := $(KERNEL_ROOMS) $(filter-out $(OF_EACH_ISA),$(wildcard tests/kernels/test_*.py))
# A command for each instruction set but the best, side by side; what one says comes in one piece.
# AVX-512's differ little, so that of them `make test` has the best alone; `make isas` has all.
ISAS_LEFT_OUT = avx512
for_other_isas = $(BIN)/python -m tryon_kernels --variants | tail -n +2 | grep --invert-match '$(ISAS_LEFT_OUT)' | xargs --max-procs 0 --replace sh -c \
    'export TRYON_KERNELS_ISA={}; said=$$($(1) 2>&1); status=$$?; printf "kernels for %s\n%s\n" {} "$$said"; exit $$status'

test: test-tryon test-kernels test-packaging
# All but the kernels' own. What a file's tests share, as a trained model, is made once: a file is one process's.
# Of what is packed, what other files than the kernels' decide.
OF_ANY_FILE := $(addprefix tests/packaging/test_,docs.py proven.py sdist.py::test_the_source_distribution_holds_what_its_documents_name \
    sdist.py::test_the_source_distribution_holds_every_file_of_the_repository)
test-tryon: $(VENV)/.tested
	$(PYTEST) --dist loadfile $(filter-out $(KERNEL_ROOMS) tests/kernels tests/packaging %.py,$(wildcard tests/*)) $(OF_ANY_FILE)

# What the kernels compute with the best instruction set of this CPU.
test-values: $(VENV)/.tested
	$(PYTEST) $(OF_EACH_ISA)

test-kernels: test-values
	$(PYTEST) --dist loadfile $(OF_ANY_ISA)
	$(call for_other_isas,$(PYTEST) --numprocesses 0 $(OF_EACH_ISA) $(COMPILED_ALONE))

isas: ISAS_LEFT_OUT = none
isas: $(VENV)/.tested
	$(call for_other_isas,$(PYTEST) --numprocesses 0 $(OF_EACH_ISA) $(COMPILED_ALONE))

test-packaging: $(VENV)/.tested
	$(BIN)/python -m pytest tests/packaging

# The kernels' values; that they compile for GPUs is in `make test`. The interpreter takes seconds a case.
INTERPRETED := test_triton.py test_non_finite.py \
    test_values.py::test_values_and_gradients_are_the_references_within_rounding \
    test_values.py::test_where_a_volume_is_exactly_0_its_gradient_takes_the_negative_slope \
    test_feature_distance.py::test_values_and_gradients_are_the_references \
    test_feature_distance.py::test_features_and_target_may_lie_in_memory_as_they_like \
    test_feature_distance.py::test_what_is_not_a_number_stays_one_and_has_torchs_derivatives \
    test_selected_kernels.py::test_results_stay_right_where_kernels_are_wrong \
    test_selected_kernels.py::test_a_compiled_graph_chooses_when_it_runs
triton: $(VENV)/.tested
	TRITON_INTERPRET=1 $(PYTEST) $(addprefix tests/kernels/,$(INTERPRETED))

objects: $(VENV)/.tested
	$(PYTEST) --dist loadfile tests/triton/test_objects.py tests/cuda/test_objects.py -m 'objects or not objects'

# Takes the machine as it is: no environment, nothing installed, no network. GPU_CHECK has options for it, as
# `--leave-out cuda`; `--help` lists them.
gpu-check:
	$(PYTHON) setup.py --quiet build_ext --inplace
	$(PYTHON) -m tryon_kernels
	$(PYTHON) -m benchmarks.gpu_check $(GPU_CHECK)

benchmark: $(VENV)/.installed
	$(INSTALL) --editable '.[benchmark]'
	$(BIN)/python -m pytest benchmarks

# What torch brings stays outside; a symbol that these systems have not got is an error.
# Then it is installed into an environment that has nothing but torch and the other requirements, and used there.
WHEEL_ROOT := build/wheel/root
wheel: $(VENV)/.installed
	$(INSTALL) --editable '.[release]'
	rm -rf build/wheel build/lib* build/bdist* dist/*.whl
	TRYON_KERNELS_CPP=1 $(PIP) wheel --no-deps --wheel-dir build/wheel .
	PATH='$(abspath $(BIN))':"$$PATH" $(BIN)/python -m auditwheel repair --plat manylinux_2_28_$$(uname -m) \
	    --exclude 'libtorch*' --exclude 'libc10*' --wheel-dir dist build/wheel/*.whl
	$(PYTHON) -m venv $(WHEEL_ROOT)
	$(WHEEL_ROOT)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-index dist/*.whl
	echo "$(call site_packages,$(BIN)/..)" > $(call site_packages,$(WHEEL_ROOT))/borrowed.pth
	cd $(WHEEL_ROOT) && bin/python -m tryon_kernels && bin/tryon data synthesize --out data --train 0 --test 2 --size 64x64 --seed 0

# The archive of the sources; a wheel is built from it as from a checkout. Without kernels no torch is fetched for it.
sdist: $(VENV)/.installed
	$(PIP) install --editable '.[release]'
	rm -f dist/*.tar.gz
	TRYON_KERNELS_CPP=0 TRYON_KERNELS_CUDA=0 $(BIN)/python -m build --sdist --outdir dist .

fuzz: $(VENV)/.tested
	$(BIN)/python -m pytest tests/kernels/test_random_shapes.py --hypothesis-profile=fuzz

more: $(VENV)/.tested
	$(PYTEST) -m more

# Packages that only some users want are in an environment of their own, which sees the other one's.
EXTRAS := photos metrics prepare onnx openvino video app browser hub kernel-hub
# What their tests compare with, and torchvision, which is no extra's: it must be the one for the torch that is there.
COMPARED := torchvision lpips clean-fid
THIS_TORCH = torch==$$($(BIN)/python -c 'import torch; print(torch.__version__)')
EXTRAS_VENV := $(VENV)-extras
extras: $(VENV)/.tested $(if $(shell command -v npm),page-runtime)
	$(PYTHON) -m venv $(EXTRAS_VENV)
	echo "import site; site.addsitedir('$(call site_packages,$(BIN)/..)')" > $(call site_packages,$(EXTRAS_VENV))/tested.pth
	$(EXTRAS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install \
	    $$($(BIN)/python -m build_support.torch_index '$(TORCH_INDEX)') "$(THIS_TORCH)" \
	    $$($(BIN)/python -m build_support.extras $(EXTRAS)) $(COMPARED)
	OMP_NUM_THREADS=1 $(EXTRAS_VENV)/bin/python -m pytest -m extras

# What the browser's page runs on, as the lock file has it.
PAGE_RUNTIME := build/page
page-runtime:
	mkdir -p $(PAGE_RUNTIME)
	cp tryon/page/package.json tryon/page/package-lock.json $(PAGE_RUNTIME)
	npm ci --ignore-scripts --no-audit --no-fund --prefix $(PAGE_RUNTIME)

# Built in an environment of its own, with nothing of ours installed; the commands' help comes from those that are.
DOCS_VENV := $(VENV)-docs
docs: $(VENV)/.installed
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install $$($(BIN)/python -m build_support.extras docs)
	mkdir -p build/docs
	$(BIN)/python -m build_support.command_line > build/docs/reference-cli.md
	$(DOCS_VENV)/bin/python -m mkdocs build --strict --clean

large: $(VENV)/.tested
	$(BIN)/python -m pytest tests/kernels/test_large.py -m large

# For the best instruction set the tests that call kernels in most ways; `sanitize-each` has all of them, and values for
# the others.
# Without those of autocast, in which a process has ended with code 1 and no word, now and then: see SAID.
# Guard pages and measured memory are what sanitizers have of their own.
SANITIZED_TESTS = $(foreach name,values non_finite zero_sizes random_shapes threads feature_distance ops,tests/kernels/test_$(name).py)
SANITIZED_CALLS = $(SANITIZED_TESTS) \
    -k "not eager and not stock and not reference_is and not compile and not report and not torchs_rules and not autocast"
SANITIZED_VALUES := tests/kernels/test_values.py tests/kernels/test_non_finite.py
# What sanitizers find, and what a test process that ends says last, is shown at the end.
# SAID: what libraries write as they end a process comes through only where pytest does not hold file descriptor 2.
SAID := --capture=sys
FINDINGS := $(abspath $(SANITIZED))/finding
ON_SANITIZED = cd $(SANITIZED) && PYTHONPATH=$(abspath $(SANITIZED)) \
    ASAN_OPTIONS=detect_leaks=0:handle_abort=1:handle_sigill=1:log_path=$(FINDINGS) \
    UBSAN_OPTIONS=print_stacktrace=1:log_path=$(FINDINGS) LD_PRELOAD="$(SANITIZER_LIBRARIES)"
SANITIZED_FILES := setup.py build_support pyproject.toml README.md LICENSE csrc tryon_kernels tests
SANITIZED_ISAS = $(firstword $(shell $(BIN)/python -m tryon_kernels --variants))
sanitize: $(VENV)/.tested
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)
	tar --create --exclude __pycache__ $(SANITIZED_FILES) | tar --extract --directory $(SANITIZED)
	cd $(SANITIZED) && TRYON_KERNELS_CPP=1 TRYON_KERNELS_CUDA=0 TRYON_KERNELS_BUILD_ISAS='$(SANITIZED_ISAS)' $(SANITIZING) $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	$(ON_SANITIZED) $(PYTEST) $(SAID) $(SANITIZED_CALLS) 2> $(FINDINGS).stderr || { cat $(FINDINGS).*; false; }

sanitize-each: SANITIZED_ISAS =
sanitize-each: ISAS_LEFT_OUT = none
sanitize-each: SANITIZED_TESTS = $(filter-out $(foreach name,private selection bounds memory,%/test_$(name).py),$(wildcard tests/kernels/test_*.py))
sanitize-each: sanitize
	$(call for_other_isas,$(ON_SANITIZED) $(PYTEST) --numprocesses 0 $(SANITIZED_VALUES) $(COMPILED_ALONE)) \
	    || { cat $(FINDINGS).*; false; }

# The CUDA kernels, compiled to run on the CPU, in several orders of threads: tests of what they compute and touch; with
# CUDA_TESTS=tests/kernels those of how they are called too. `cuda-sanitize` has values under sanitizers, in one more order.
CUDA_ON_CPU := build/cuda_on_cpu
CUDA_SANITIZED := build/cuda_sanitized
CUDA_TESTS ?= $(foreach name,values non_finite turns orders zero_sizes bounds random_shapes feature_distance \
    selected_kernels higher_gradients,tests/kernels/test_$(name).py)
ORDERED := tests/kernels/test_values.py tests/kernels/test_non_finite.py
cuda: $(VENV)/.tested
	$(BIN)/python -m tests.cuda.host_run.package $(CUDA_ON_CPU)
	cd $(CUDA_ON_CPU) && PYTHONPATH=$(abspath $(CUDA_ON_CPU)) $(PYTEST) $(CUDA_TESTS)
	cd $(CUDA_ON_CPU) && PYTHONPATH=$(abspath $(CUDA_ON_CPU)) HOST_RUN_ORDER=backward $(PYTEST) --numprocesses 0 $(ORDERED)

cuda-sanitize: $(VENV)/.tested
	$(BIN)/python -m tests.cuda.host_run.package $(CUDA_SANITIZED) $(SANITIZERS)
	cd $(CUDA_SANITIZED) && PYTHONPATH=$(abspath $(CUDA_SANITIZED)) ASAN_OPTIONS=detect_leaks=0 \
	    LD_PRELOAD="$(SANITIZER_LIBRARIES)" HOST_RUN_ORDER=shuffled:1 $(PYTEST) --numprocesses 0 $(ORDERED)

# What CI does without while nothing that these depend on has changed since they passed here: commit .ci/proven.json.
prove: test-kernels test-packaging triton cuda sanitize
	$(BIN)/python -m build_support.proven --note

# One change of the code after the other, each of which a test must notice.
mutants: $(VENV)/.tested
	$(BIN)/python -m tests.mutants $(MUTANTS)

NATIVE := csrc/cpu/kernels/*.cpp tests/kernels/native/check_kernels.cpp
threads:
	mkdir -p build/threads
	$(CXX) -std=c++20 -O2 -g -fsanitize=thread -Wall -Wextra -Werror -Icsrc -DTRYON_KERNELS_VARIANT=baseline \
	    $(NATIVE) -o build/threads/check_kernels
	build/threads/check_kernels

# Debian: apt install g++-aarch64-linux-gnu qemu-user
aarch64:
	mkdir -p build/aarch64
	$(CROSS)g++ -std=c++20 -O3 -Wall -Wextra -Werror -Icsrc -static -DTRYON_KERNELS_VARIANT=baseline \
	    $(NATIVE) -o build/aarch64/check_kernels
	qemu-aarch64 build/aarch64/check_kernels

lint: style types layout

style: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tested
	$(BIN)/mypy

layout: $(VENV)/.tested
	$(BIN)/clang-format --dry-run --Werror $(wildcard csrc/*.* csrc/*/*.* csrc/*/*/*.* tests/*/native/*.cpp) \
	    $(shell find tests/cuda/host_run -name '*.h' -o -name '*.c*')

check: lint test

thorough: CUDA_TESTS = tests/kernels
thorough: more extras isas cuda cuda-sanitize sanitize-each objects threads fuzz mutants

clean:
	rm -rf $(VENV) build dist *.egg-info tryon_kernels/*.so tryon_kernels/_build.json

# An environment has its own path and the checkout's in it, so it is made anew where that has changed.
ifneq ($(filter-out $(CURDIR),$(shell cat $(VENV)/.torch 2>/dev/null)),)
$(info $(VENV) was set up for another folder than $(CURDIR): it is made anew)
.PHONY: $(VENV)/.torch
endif

$(VENV)/.torch:
	$(PYTHON) -m venv $(if $(wildcard $@),--clear) $(VENV)
	$(INSTALL) $$($(BIN)/python -m build_support.torch_index '$(TORCH_INDEX)') '$(TORCH)'
	echo '$(CURDIR)' > $@

$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	$(INSTALL) --editable '.[evaluate]'
	$(BIN)/python -m tryon_kernels
	touch $@

# Tests of kernels that did not compile would pass without them. The objects are kept for the wheel that is tested.
KEEPING := $(abspath $(BIN))/python $(CURDIR)/tests/packaging/kept_objects.py $(if $(filter default,$(origin CXX)),c++,$(CXX))
$(VENV)/.tested: $(VENV)/.torch $(SOURCES)
	TRYON_KERNELS_CPP=1 CXX='$(KEEPING)' $(INSTALL) --editable '.[evaluate,test,dev]'
	$(BIN)/python -m tryon_kernels
	touch $(VENV)/.installed $@
