"""What keeps the kind cluster's stages harmless, to be removed by `python -m tests.crash.mutations K`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

NEEDS: Final = "tests/kubernetes/test_needs.py::test_"
IMAGES: Final = "tests/kubernetes/test_images.py::test_"
REASONS: Final = "tests/kubernetes/test_reasons.py::test_"
OBJECTS: Final = "tests/kubernetes/test_objects.py::test_"
STAGES: Final = "infra/kubernetes/"

MUTATIONS: Final = (
    Mutation(
        "K",
        "the caller's own cluster is asked",
        f"{NEEDS}the_callers_own_cluster_is_never_asked",
        (Edit(f"{STAGES}commands.py", 'os.environ | {"KUBECONFIG": str(KUBECONFIG)}', "dict(os.environ)"),),
    ),
    Mutation(
        "K",
        "kind is left to find out that its image cannot be pulled",
        f"{NEEDS}a_node_image_that_cannot_be_pulled_is_named_and_kind_is_not_asked[refused]",
        (Edit(f"{STAGES}cluster.py", "    need_image(image)\n", ""),),
    ),
    Mutation(
        "K",
        "a platform that is there is replaced",
        f"{NEEDS}a_platform_that_does_not_become_available_is_not_touched_and_says_why",
        (Edit(f"{STAGES}knative.py", "    if _deployments(SERVING):", "    if not _deployments(SERVING):"),),
    ),
    Mutation(
        "K",
        "an image keeps its name when its content changes",
        f"{IMAGES}the_second_time_nothing_is_loaded_and_a_changed_image_is",
        (Edit(f"{STAGES}images.py", "tag = id_[:_TAG_LENGTH]", 'tag = "local"'),),
    ),
    Mutation(
        "K",
        "other bytes under an old tag are not seen",
        f"{IMAGES}other_bytes_under_an_old_name_are_loaded_again",
        (Edit(f"{STAGES}images.py", " or loaded.get(name) != id_", ""),),
    ),
    Mutation(
        "K",
        "an old pod that is being replaced fails the deployment that mends it",
        f"{REASONS}a_bad_pod_that_is_being_replaced_is_not_waited_for",
        (Edit(f"{STAGES}reasons.py", "for one in newest.values()", "for one in items"),),
    ),
    Mutation(
        "K",
        "a revision that serves is deleted",
        "tests/kubernetes/test_again.py::test_only_what_knative_has_given_up_and_does_not_serve_is_made_again",
        (
            Edit(
                f"{STAGES}deploy.py",
                "if is_given_up(service) and not serves(service):",
                "if is_given_up(service):",
            ),
        ),
    ),
    Mutation(
        "K",
        "a way that a policy leaves open is not counted",
        f"{OBJECTS}a_way_too_many_and_a_way_too_few_are_both_seen",
        (
            Edit(
                f"{STAGES}reach.py",
                "sum(wanted[target] is not reached[target] for target in TARGETS)",
                "sum(wanted[target] and not reached[target] for target in TARGETS)",
            ),
        ),
    ),
)
