"""Simplifies conditions with products of variables, by what a case's box and atoms fix exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from boundmesh.property import Affine, Atom, Box, Case, Choice, Clause, Product
from boundmesh.read.opposite_sides import Side, contradictory


def simplified(case: Case, products: Sequence[Product], outputs: int) -> Case | None:
    """Return the case with simpler atoms of the same meaning; None where no clause can hold.

    `outputs` is the number of the network's outputs, after which products are counted. A product
    with a factor that the box fixes is replaced by a multiple of its other factor. A condition
    `c·u·v ≤ 0` becomes `c·v ≤ 0` where the clause demands u > 0.
    """
    box = case.region
    assert isinstance(box, Box)
    linear: dict[int, Affine] = {}
    for place, product in enumerate(products, start=outputs):
        left, right = (inlined(form, linear) for form in (product.left, product.right))
        for factor, other in ((left, right), (right, left)):
            value = fixed(factor, box)
            if value is not None:
                linear[place] = scaled(other, value)
                break
    clauses = []
    for clause in case.clauses:
        atoms = [inlined_atom(atom, linear) for atom in clause.atoms]
        atoms = [divided(atom, atoms, box, products, outputs) for atom in atoms]
        kept = possible(atoms)
        choices = []
        for choice in clause.choices:
            alternatives = (
                [inlined_atom(atom, linear) for atom in alternative]
                for alternative in choice.alternatives
            )
            possible_ones = [kept for kept in map(possible, alternatives) if kept is not None]
            if [] not in possible_ones:
                choices.append(Choice(possible_ones))
        if kept is not None and all(choice.alternatives for choice in choices):
            clauses.append(Clause(kept, choices))
    return Case(box, clauses) if clauses else None


def possible(atoms: Sequence[Atom]) -> list[Atom] | None:
    """Return the atoms that have terms; None where the atoms are seen to contradict each other."""
    kept = [atom for atom in atoms if atom.inputs or atom.outputs]
    if not all(atom in kept or atom.holds([], []) for atom in atoms):
        return None
    return None if contradictory([Side.of(atom) for atom in kept]) else kept


def end(box: Box, place: int, upper: bool) -> Fraction:
    """Return an end of an input's range exactly."""
    ends, exact = (box.upper, box.exact_upper) if upper else (box.lower, box.exact_lower)
    known = exact.get(place)
    return Fraction(float(ends.reshape(-1)[place])) if known is None else known


def fixed(form: Affine, box: Box) -> Fraction | None:
    """Return the value of a form whose inputs all have one value in the box; None for others."""
    if form.outputs:
        return None
    total = form.constant
    for place, coefficient in form.inputs:
        low = end(box, place, upper=False)
        if low != end(box, place, upper=True):
            return None
        total += coefficient * low
    return total


def added(form: Affine, other: Affine, factor: Fraction) -> Affine:
    """Return `form + factor·other`."""
    terms = []
    for form_terms, other_terms in ((form.inputs, other.inputs), (form.outputs, other.outputs)):
        total = dict(form_terms)
        for place, coefficient in other_terms:
            total[place] = total.get(place, Fraction(0)) + factor * coefficient
        terms.append(tuple(sorted((place, value) for place, value in total.items() if value)))
    return Affine(terms[0], terms[1], form.constant + factor * other.constant)


def scaled(form: Affine, factor: Fraction) -> Affine:
    return added(Affine((), (), Fraction(0)), form, factor)


def inlined(form: Affine, linear: dict[int, Affine]) -> Affine:
    """Return the form with every product that is linear replaced."""
    replaced = [(place, coefficient) for place, coefficient in form.outputs if place in linear]
    if not replaced:
        return form
    kept = tuple((place, coefficient) for place, coefficient in form.outputs if place not in linear)
    result = Affine(form.inputs, kept, form.constant)
    for place, coefficient in replaced:
        result = added(result, linear[place], coefficient)
    return result


def inlined_atom(atom: Atom, linear: dict[int, Affine]) -> Atom:
    form = inlined(Affine(atom.inputs, atom.outputs, -atom.bound), linear)
    return Atom(form.inputs, form.outputs, -form.constant, atom.strict)


def divided(
    atom: Atom, atoms: Sequence[Atom], box: Box, products: Sequence[Product], outputs: int
) -> Atom:
    """Return `c·v ≤ 0` for an atom `c·u·v ≤ 0` where u is an input that must be above zero."""
    if atom.inputs or atom.bound or len(atom.outputs) != 1 or atom.outputs[0][0] < outputs:
        return atom
    ((place, coefficient),) = atom.outputs
    product = products[place - outputs]
    for factor, other in ((product.left, product.right), (product.right, product.left)):
        if not factor.outputs and not factor.constant and len(factor.inputs) == 1:
            ((number, multiple),) = factor.inputs
            if multiple > 0 and positive(number, atoms, box):
                form = scaled(other, coefficient)
                return Atom(form.inputs, form.outputs, -form.constant, atom.strict)
    return atom


def positive(place: int, atoms: Sequence[Atom], box: Box) -> bool:
    """Return True if the box or one of the atoms demands that the input is above zero."""
    if end(box, place, upper=False) > 0:
        return True
    return any(
        not atom.outputs
        and len(atom.inputs) == 1
        and atom.inputs[0][0] == place
        and atom.inputs[0][1] < 0
        and (atom.bound < 0 or (atom.bound == 0 and atom.strict))
        for atom in atoms
    )
