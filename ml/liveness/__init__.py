"""Presentation attack detection: is a face a person, or a picture of one?"""
