package filter

import "slices"

// ParamError is a parameter that is not of its type.
type ParamError struct{ Param, Reason string }

func (e *ParamError) Error() string { return "parameter " + e.Param + ": " + e.Reason }

// RefusedError: a part of the rule that reads only the user and the parameters is not
// TRUE.
type RefusedError struct {
	// Expr is that part, without values.
	Expr string
}

func (e *RefusedError) Error() string { return "not allowed: " + e.Expr + " is not true" }

// Binding is a program with claims and parameters bound. Immutable; safe for
// concurrent use. There is one for each user who sees rows of its own, so that it keeps
// nothing that can be made again.
type Binding struct {
	program *Program
	// values by bound operand of the program.
	values []datum
	// live has a bit for each disjunct whose user part is TRUE and that has postings.
	live uint32
	scan bool
}

// isLive reports whether some row can make the disjunct TRUE.
func (b *Binding) isLive(disjunct int) bool { return b.live&(1<<disjunct) != 0 }

// Bind binds the parameters, as a URL has them, and the claims; nil stands for nobody and
// is only possible where the rule reads no claims. Errors: *ParamError; *RefusedError; *ClaimError
// where the claims were read with another declaration than the rule was compiled with.
func (p *Program) Bind(user *Claims, params map[string]string) (*Binding, error) {
	b := &Binding{program: p, values: make([]datum, len(p.bound))}
	if err := b.bind(user, params); err != nil {
		return nil, err
	}
	for _, c := range p.gate {
		if c.eval(nil, b) != True {
			return nil, &RefusedError{c.text()}
		}
	}
	allowed := false
	for i := range p.disjuncts {
		d := &p.disjuncts[i]
		if least(d.user, nil, b) != True {
			continue
		}
		allowed = true
		if b.posts(d) {
			b.live |= 1 << i
			b.scan = b.scan || d.scans()
		}
	}
	if !allowed {
		return nil, &RefusedError{p.userPart()}
	}
	return b, nil
}

// userPart are the parts of the disjuncts that read only user and parameters; one of
// them must be TRUE.
func (p *Program) userPart() string {
	var parts []Node
	for i := range p.disjuncts {
		part := conjunction(p.disjuncts[i].user)
		if !slices.ContainsFunc(parts, func(n Node) bool { return n.String() == part.String() }) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 1 {
		return parts[0].String()
	}
	return (&Or{Terms: parts}).String()
}

// bind evaluates the bound operands.
func (b *Binding) bind(user *Claims, params map[string]string) error {
	for i := range b.program.bound {
		var err error
		switch o := &b.program.bound[i]; o.kind {
		case boundParam:
			b.values[i].v, err = bindParam(&b.program.params[o.index], params)
		case boundClaim:
			b.values[i], err = bindClaim(&b.program.claims[o.index], o.index, user)
		case boundLower:
			v := b.values[o.index].v
			if v.state == isSet {
				v.s, _ = lower(v.s, nil)
			}
			b.values[i].v = v
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bindParam(p *Parameter, params map[string]string) (value, error) {
	text, ok := params[p.Name]
	if !ok {
		return value{}, &ParamError{p.Name, "it is missing"}
	}
	v, err := parseText(p.Type, text)
	if err != nil {
		return value{}, &ParamError{p.Name, "it is " + err.Error()}
	}
	return v, nil
}

func bindClaim(c *Claim, index int, user *Claims) (datum, error) {
	if user == nil {
		return datum{}, &ClaimError{c.Name, "there is no user"}
	}
	if index >= len(user.declared) || user.declared[index].Name != c.Name || !sameClaimType(&user.declared[index].Type, &c.Type) {
		return datum{}, &ClaimError{c.Name, "the claims were read with another declaration than the rule was compiled with; read them again"}
	}
	v := user.get(index)
	return datum{v: v.v, list: v.list}, nil
}

func sameClaimType(a, b *Type) bool {
	return a.Class == b.Class && a.List == b.List && a.Name == b.Name
}

// posts reports whether the disjunct can be found at all: nothing is found under NULL.
func (b *Binding) posts(d *disjunct) bool {
	for i := range d.keys {
		k := &d.keys[i]
		v := k.bound.value(nil, b)
		if v.v.state != isSet || k.kind == keyMember && !slices.ContainsFunc(v.list, func(e value) bool { return e.state == isSet }) {
			return false
		}
	}
	return true
}

// post are the keys under which a disjunct that posts is found.
func (b *Binding) post(d *disjunct) []string {
	var key []byte
	for i := range d.keys {
		k := &d.keys[i]
		v := k.bound.value(nil, b)
		if k.kind == keyMember {
			return postEach(key, k.class, v.list)
		}
		key = appendKey(key, k.class, v.v)
	}
	return []string{string(key)}
}

// postEach makes a key of the parts so far and each distinct element, sorted.
func postEach(key []byte, c Class, list []value) []string {
	keys := make([]string, 0, len(list))
	for i := range list {
		if list[i].state == isSet {
			keys = append(keys, string(appendKey(key[:len(key):len(key)], c, list[i])))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Group is the same for bindings of one program that no row can tell apart. It is made
// of all parameters and of the claims that the program still reads once the parts that
// are not live are gone. The text is not for people. It is made at each call.
func (b *Binding) Group() string { return string(b.appendGroup(nil)) }

// ParamValue is a bound parameter in the form that Postgres prints: 7 for 07.
type ParamValue struct {
	Name string
	Type Type
	Text string
}

// Params are the bound parameters in the order of Program.Params.
func (b *Binding) Params() []ParamValue {
	values := make([]ParamValue, 0, len(b.program.params))
	for i := range b.program.params {
		p := &b.program.params[i]
		for j := range b.program.bound {
			if o := &b.program.bound[j]; o.kind == boundParam && o.index == i {
				values = append(values, ParamValue{p.Name, p.Type, b.values[j].v.text(p.Type)})
			}
		}
	}
	return values
}

// Postings are the keys under which a row must be found for the disjunct to be TRUE, see
// [Image.Probe]: none where it is not live. A disjunct without key that is live has
// the one key "", and Scan is true: every row must be tried. They are made at each call, in the
// same order.
func (b *Binding) Postings(disjunct int) []string {
	if !b.isLive(disjunct) {
		return nil
	}
	return b.post(&b.program.disjuncts[disjunct])
}

// Scan reports that a disjunct that is live has no key but a residual, so that every row costs an
// evaluation for this binding.
func (b *Binding) Scan() bool { return b.scan }

// Residual evaluates what is left of a disjunct for a row that has Once and one of
// the postings.
func (b *Binding) Residual(disjunct int, im *Image) Truth {
	return least(b.program.disjuncts[disjunct].rest, im, b)
}

// Eval evaluates the whole filter, without the index.
func (b *Binding) Eval(im *Image) Truth { return least(b.program.roots, im, b) }
