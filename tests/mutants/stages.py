"""Mutants of the training stages, of the models that they train, and of the engine."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BASE = "tryon/stages/base.py"
STUDENT = "tryon/stages/student.py"
KNOWLEDGE = "tryon/stages/knowledge.py"
FAKES = "tryon/data/fakes.py"
OF_FAKES = "tests/tryon/test_fakes.py"
TUTOR = "tryon/stages/tutor.py"
MODELS = "tryon/models.py"
LOOP = "tryon/engine/loop.py"
CHECKPOINTS = "tryon/engine/checkpoints.py"
LOCK = "tryon/engine/lock.py"
NORMS = "tryon/engine/norms.py"
OF_NORMS = "tests/tryon/test_norms.py"
LOG = "tryon/engine/log.py"
LOADER = "tryon/data/loader.py"
OF_LOADER = "tests/tryon/data/test_loader.py"
INTERRUPTIONS = "tests/tryon/test_interruptions.py"
STAGES = "tests/tryon/test_stages.py"
TUTOR_LOSSES = f"{STAGES} -k test_the_tutors"
STUDENT_LOSSES = f"{STAGES} -k test_the_students"
OPTIMISER = f"{STAGES} -k optimiser"
SECOND_HALF = f"{STAGES} -k second_half_starts"
TRAINING = "tests/tryon/test_training.py"
OPTIONS = "tests/tryon/test_options.py"
GOLDEN = "tests/tryon/test_golden.py"
DISTRIBUTED = "tests/tryon/test_distributed.py"
AS_ONE = f"{DISTRIBUTED} -k as_one_with"
GUIDANCE = "tests/tryon/test_guidance.py"
SURROUNDINGS = "tests/tryon/data/test_surroundings.py"
HEMS = "tryon/data/hems.py"
OF_HEMS = "tests/tryon/data/test_hems.py"
COMPOSITE = "tryon/data/composite.py"
OF_COMPOSITE = "tests/tryon/data/test_composite.py"
SEEN = "tests/tryon/data/test_what_students_see.py"
AVERAGE = "tests/tryon/test_average.py"

MUTANTS = (
    Mutant(BASE, "FINE_TUNED_WARP_RATE = 0.2", "FINE_TUNED_WARP_RATE = 0.5", f"{TRAINING} -k five_times_slower"),
    Mutant(
        BASE,
        "return person.photo * person.regions.garment, person.regions.garment",
        "return person.photo, person.regions.garment",
        TUTOR_LOSSES,
    ),
    Mutant(
        BASE,
        "return warp_loss(warped.flow, garment.image, garment.mask, target, region, perceptual)",
        "return warp_loss(warped.flow, garment.image, garment.mask, person.photo, region, perceptual)",
        TUTOR_LOSSES,
    ),
    Mutant(BASE, 'f"{prefix}_{name}": factor * term', 'f"{prefix}_{name}": term', TUTOR_LOSSES),
    Mutant(
        BASE,
        "if record.label_scheme != recipe.label_scheme:",
        "if record.label_scheme < recipe.label_scheme:",
        f"{STAGES} -k another_label_scheme",
    ),
    Mutant(BASE, "if trained != asked:", "if trained < asked:", f"{OPTIONS} -k later_stage"),
    Mutant(MODELS, "keep_background=self.keep_background", "keep_background=False", f"{OPTIONS} -k paints_by_it"),
    Mutant(NORMS, "norm.momentum = None", "pass", f"{OF_NORMS} -k mean_over"),
    Mutant(TUTOR, "WARP_LOSS_SHARE = 0.5", "WARP_LOSS_SHARE = 0.25", TUTOR_LOSSES),
    Mutant(
        TUTOR,
        "result = self.model(person, garment, region=target_garment(person)[1])",
        "result = self.model(person, garment)",
        TUTOR_LOSSES,
    ),
    Mutant(STUDENT, "WARP_LOSS_SHARE = 0.25", "WARP_LOSS_SHARE = 0.5", STUDENT_LOSSES),
    Mutant(
        KNOWLEDGE,
        "torch.cat((other.image, own.image))",
        "torch.cat((own.image, other.image))",
        STUDENT_LOSSES,
    ),
    Mutant(STUDENT, ".eval().requires_grad_(False)", ".requires_grad_(False)", f"{TRAINING} -k tutor_stays_frozen"),
    Mutant(
        STUDENT,
        "better_tutor_weights(tutors.garment, warped.garment, target)",
        "better_tutor_weights(warped.garment, tutors.garment, target)",
        STUDENT_LOSSES,
    ),
    Mutant(STUDENT, "if not self.guidance.adjusted:", "if self.guidance.adjusted:", f"{GUIDANCE} -k adjustable"),
    Mutant(KNOWLEDGE, "fake.image * mask", "photo * mask", f"{GUIDANCE} -k who_imitates"),
    Mutant(KNOWLEDGE, "_seen(photo), region,", "_seen(photo), mask,", f"{GUIDANCE} -k who_imitates"),
    Mutant(
        KNOWLEDGE,
        ".amax(dim=1, keepdim=True) > CHANGE",
        ".mean(dim=1, keepdim=True) > CHANGE",
        f"{OF_FAKES} -k quarter",
    ),
    Mutant(FAKES, "of_person.get(self._folder.people[other]) or ", "", f"{OF_FAKES} -k drawn_garment"),
    Mutant(FAKES, "other % len(of_person)", "0", f"{OF_FAKES} -k drawn_garment"),
    Mutant(FAKES, "elif garment == person:", "elif garment is person:", f"{OF_FAKES} -k cannot_be_used"),
    Mutant(
        STUDENT,
        "part.requires_grad_(second_half or self.recipe.without_tutor)",
        "part.requires_grad_(True)",
        f"{TRAINING} -k first_half_trains",
    ),
    Mutant(
        STUDENT,
        "part.requires_grad_(second_half or self.recipe.without_tutor)",
        "part.train(second_half).requires_grad_(second_half)",
        f"{GOLDEN} -k student-warp-False",
    ),
    Mutant(
        STUDENT,
        "result = self.model(knowledge.person, knowledge.garment, region=region)",
        "result = self.model(knowledge.person, knowledge.garment)",
        STUDENT_LOSSES,
    ),
    Mutant(
        STUDENT,
        "skin=skin_region(knowledge.worn_mask, region)",
        "skin=skin_region(result.warped.mask, region)",
        STUDENT_LOSSES,
    ),
    Mutant(STUDENT, 'half="second" if second_half else "first"', 'half="first"', STUDENT_LOSSES),
    Mutant(
        STUDENT,
        "            knowledge.target,\n            self.perceptual",
        "            knowledge.person.photo,\n            self.perceptual",
        STUDENT_LOSSES,
    ),
    Mutant(
        KNOWLEDGE,
        "return seen, surroundings.around(photo, photo, background)",
        "return seen, photo",
        f"{SURROUNDINGS} -k input_and_target",
    ),
    Mutant(
        KNOWLEDGE,
        "background * (1 - worn_mask)",
        "background",
        f"{SURROUNDINGS} -k input_and_target",
    ),
    Mutant(HEMS, "triangular(-REACH, 0, REACH, count)", "uniform(-REACH, REACH, count)", f"{OF_HEMS} -k more_often"),
    Mutant(HEMS, "rows = (moves * heights)", "rows = (moves * worn.shape[2])", OF_HEMS),
    Mutant(HEMS, "torch.where(lower, 1 - worn, worn)", "worn.new_ones(())", OF_HEMS),
    Mutant(HEMS, "clothes = regions.garment + regions.other_clothes", "clothes = 1 - regions.background", OF_HEMS),
    Mutant(HEMS, "torch.minimum(rows.abs(), most)", "rows.abs()", f"{OF_HEMS} -k no_further"),
    Mutant(HEMS, " * place * moved", " * place", OF_HEMS),
    Mutant(HEMS, "torch.where(lower, worn + band, worn - band)", "worn", OF_HEMS),
    Mutant(HEMS, ".gather(2, places) * inside", ".gather(2, places)", f"{OF_HEMS} -k frame"),
    Mutant(
        KNOWLEDGE,
        "        fake_image, photo = _surrounded(sample, fake.image, mask)\n        return",
        "        fake_image, photo = _varied(sample, fake.image, mask)[0], sample.person.photo\n        return",
        f"{SEEN} -k imitates",
    ),
    Mutant(
        LOOP,
        "draw_hems(count, config.seed, self.step, place)",
        "draw_hems(count, config.seed, 0, place)",
        f"{SEEN} -k drawn_of_its_step",
    ),
    Mutant(
        LOOP,
        "height, width, config.seed, self.step, place)",
        "height, width, config.seed, 0, place)",
        f"{SEEN} -k drawn_of_its_step",
    ),
    Mutant(COMPOSITE, "FEWEST, MOST = 0.15, 0.85", "FEWEST, MOST = 0.45, 0.55", OF_COMPOSITE),
    Mutant(COMPOSITE, "CELLS = (6, 5)", "CELLS = (60, 50)", f"{OF_COMPOSITE} -k blots"),
    Mutant(COMPOSITE, "known_background(person)", "person.regions.background", f"{OF_COMPOSITE} -k densepose"),
    Mutant(COMPOSITE, " * (1 - worn)", "", OF_COMPOSITE),
    Mutant(COMPOSITE, "person.regions.arms + ", "", OF_COMPOSITE),
    Mutant(
        STUDENT,
        "            self.model.generator.start_from(tutor.generator)",
        "            pass",
        f"{STAGES} -k generator_starts",
    ),
    Mutant(
        MODELS,
        'flow.warp(garment.mask, padding_mode="zeros")',
        "flow.warp(garment.mask)",
        f"{STAGES} -k with_its_border",
    ),
    Mutant(
        MODELS,
        "compose(warped.garment, warped.mask, rendered, mask, region)",
        "compose(warped.garment, warped.mask, rendered, mask)",
        TUTOR_LOSSES,
    ),
    Mutant(
        MODELS,
        "return tutor_generator_input(person, warped.garment, warped.mask, region,",
        "return tutor_generator_input(person, warped.garment, warped.mask, None,",
        f"{GOLDEN} -k tutor-False",
    ),
    Mutant(LOOP, 'group["lr"] = rate * factor', 'group["lr"] = rate', OPTIMISER),
    Mutant(LOOP, "if self.step == half:", "if self.step == half + 1:", SECOND_HALF),
    Mutant(
        LOOP,
        "self.optimiser.load_state_dict(checkpoint.optimiser)",
        "self.optimiser.state_dict()",
        f"{TRAINING} -k as_if_the_run",
    ),
    Mutant(
        LOOP,
        "load_state(self.average, checkpoint.average, self.folder)",
        "self.average.state_dict()",
        f"{TRAINING} -k as_if_the_run",
    ),
    Mutant(
        LOOP,
        "return self.stage.model if self.average is None else self.average.module",
        "return self.stage.model",
        f"{AVERAGE} -k saved_model",
    ),
    Mutant(
        LOOP,
        "draw_surroundings(sample, config.seed, self.step, place)",
        "draw_surroundings(sample, config.seed, 0, place)",
        f"{SURROUNDINGS} -k those_of_its_step",
    ),
    Mutant(LOOP, "ADAM_BETAS = (0.5, 0.999)", "ADAM_BETAS = (0.9, 0.999)", OPTIMISER),
    Mutant(
        LOOP,
        "if self.step < self.steps or not self._has_model():",
        "if self.step < self.steps:",
        f"{INTERRUPTIONS} -k killed_at",
    ),
    Mutant(
        LOOP,
        "if found := not_finite((name, value.grad)",
        "if found := not_finite((name, value)",
        f"{TRAINING} -k or_gradient",
    ),
    Mutant("tryon/losses/distillation.py", "clamp(min=1) / processes()", "clamp(min=1)", AS_ONE),
    Mutant("tryon/losses/distillation.py", "summed(weights.sum())", "processes() * weights.sum()", AS_ONE),
    Mutant("tryon/networks/norms.py", "(count / (count - 1))", "(count / (count - 2))", AS_ONE),
    Mutant("tryon/networks/norms.py", "+ (means - mean).square()", "", AS_ONE),
    Mutant("tryon/networks/norms.py", "means = averaged(sums)", "means = sums", AS_ONE),
    Mutant(
        "tryon/engine/distributed.py",
        "if not _fails_first(store):",
        "if _fails_first(store) is None:",
        f"{DISTRIBUTED} -k wrong_for_all",
    ),
    Mutant(LOADER, "self.rank * self.batch, self.step_draws", "0, self.step_draws", f"{OF_LOADER} -k all_processes"),
    Mutant(CHECKPOINTS, "archive.testzip()", "None", f"{TRAINING} -k damaged"),
    Mutant(LOCK, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", f"{INTERRUPTIONS} -k second_run"),
    Mutant(LOG, "self._file.flush()", "pass", f"{INTERRUPTIONS} -k killed_at"),
    Mutant(
        LOADER,
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})",
        "pass",
        f"{INTERRUPTIONS} -k asked_to_stop",
    ),
)
