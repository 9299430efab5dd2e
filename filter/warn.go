package filter

func (p *Program) warnings() []Problem { return nil }
